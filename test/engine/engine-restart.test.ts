import { mkdtemp, rm } from 'node:fs/promises'
import { expect, test } from 'vitest'
import { startEngine } from '../../deploy/engine.ts'
import { ensureImages } from '../../deploy/image.ts'
import { attach } from '../../runner-agent/engine/attach.ts'
import { createEngine } from '../../runner-agent/engine/engine-client.ts'
import { openOutput } from '../../runner-agent/engine/output-source.ts'
import { createContainer } from '../support/containers.ts'

const LINES = 300_000
const KILL_AT = 20_000

/** An engine of this test alone, since it is killed. The folder's name must be short: a Unix socket lies below it. */
const ownFolder = async (): Promise<AsyncDisposable & { path: string }> => {
  const path = await mkdtemp('/tmp/er-')
  return { path, [Symbol.asyncDispose]: () => rm(path, { recursive: true, force: true }) }
}

test('openOutput() hands out every line once although the engine is killed and started again meanwhile', async () => {
  await using folder = await ownFolder()
  const options = { stateDir: folder.path, network: 'isolated' as const }
  let dockerd = await startEngine(options)
  try {
    const { busybox } = await ensureImages({ socketPath: dockerd.socketPath, stateDir: folder.path })
    const engine = createEngine({ socketPath: dockerd.socketPath })
    const script = `i=0; while [ $i -lt ${LINES} ]; do i=$((i+1)); echo line $i; done; printf tail`
    await using container = await createContainer({ engine, image: busybox.image, script })
    const socket = await attach({ socketPath: engine.socketPath, id: container.id, stdin: true })
    const output = openOutput({
      engine,
      id: container.id,
      socket,
      position: { stdout: 0, stderr: 0 },
      maxLineBytes: 1000,
    })
    socket.end()
    await engine.startContainer(container.id)
    output.started()
    let seen = 0
    let firstWrong: string | undefined
    for await (const line of output) {
      seen += 1
      const text = Buffer.from(line.bytes).toString()
      if (text !== (seen <= LINES ? `line ${seen}` : 'tail')) firstWrong ??= `${seen}: ${text}`
      if (seen === KILL_AT) {
        process.kill(dockerd.pid, 'SIGKILL')
        dockerd = await startEngine(options)
      }
    }
    expect({ seen, firstWrong }).toEqual({ seen: LINES + 1, firstWrong: undefined })
    expect(await output.exited).toEqual({ exitCode: 0, uninterrupted: false })
  } finally {
    await dockerd.stop()
  }
}, 60_000)
