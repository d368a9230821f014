// The floor: what one container costs without us, with the same options: create, attach, start, first byte.
import { attach } from '../../runner-agent/engine/attach.ts'
import type { ContainerOptions, Engine } from '../../runner-agent/engine/engine-client.ts'

/** Milliseconds from the create call to the first byte of its output. The container is removed afterwards. */
export async function timeBareStart(engine: Engine, name: string, options: ContainerOptions): Promise<number> {
  const startedMs = performance.now()
  const { id } = await engine.createContainer(name, options)
  try {
    const socket = await attach({ socketPath: engine.socketPath, id, stdin: true })
    const firstByte = new Promise<number>((resolve, reject) => {
      socket.once('data', () => resolve(performance.now()))
      socket.once('error', reject)
    })
    socket.end()
    await engine.startContainer(id)
    const tookMs = (await firstByte) - startedMs
    socket.destroy()
    return tookMs
  } finally {
    await engine.removeContainer(id)
  }
}
