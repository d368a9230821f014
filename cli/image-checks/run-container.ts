// Runs one short container on the local engine and returns what it printed and its exit code. The container is removed
// again whatever happens; it has no network and a time limit.

import { attach, sendInput } from '../../runner-agent/engine/attach.ts'
import { createDemux } from '../../runner-agent/engine/demux.ts'
import { createEngine } from '../../runner-agent/engine/engine-client.ts'
import { waitForExit } from '../../runner-agent/engine/wait.ts'

export interface ShortRun {
  readonly image: string
  readonly entrypoint?: readonly string[]
  readonly command: readonly string[]
  readonly stdin?: string
  readonly timeoutMs: number
}

export interface ShortRunResult {
  readonly exitCode: number
  readonly stdout: string
  readonly stderr: string
}

const maxOutputBytes = 4 * 2 ** 20

export async function runContainer(socketPath: string, run: ShortRun): Promise<ShortRunResult> {
  const engine = createEngine({ socketPath })
  const signal = AbortSignal.timeout(run.timeoutMs)
  const { id } = await engine.createContainer(`dray-verify-${crypto.randomUUID()}`, {
    Image: run.image,
    ...(run.entrypoint ? { Entrypoint: [...run.entrypoint] } : {}),
    Cmd: [...run.command],
    AttachStdin: true,
    AttachStdout: true,
    AttachStderr: true,
    OpenStdin: true,
    StdinOnce: true,
    Labels: { 'dray.verify': 'yes' },
    HostConfig: {
      NetworkMode: 'none',
      Init: true,
      CapDrop: ['ALL'],
      SecurityOpt: ['no-new-privileges'],
      PidsLimit: 512,
    },
  })
  try {
    const socket = await attach({ socketPath, id, stdin: true, signal })
    const output = { stdout: [] as Uint8Array[], stderr: [] as Uint8Array[], sizeBytes: 0 }
    const demux = createDemux((stream, bytes) => {
      output.sizeBytes += bytes.length
      if (stream !== 'system' && output.sizeBytes <= maxOutputBytes) output[stream].push(Buffer.from(bytes))
    })
    socket.on('data', (chunk: Buffer) => demux.push(chunk))
    const closed = new Promise<void>((resolve) => socket.once('close', resolve).once('end', resolve))
    await engine.startContainer(id, signal)
    await sendInput(socket, new TextEncoder().encode(run.stdin ?? ''))
    const { exitCode } = await waitForExit({ socketPath, id, signal })
    await closed
    socket.destroy()
    const text = (parts: readonly Uint8Array[]): string => Buffer.concat(parts).toString('utf8')
    return { exitCode, stdout: text(output.stdout), stderr: text(output.stderr) }
  } finally {
    await engine.removeContainer(id)
  }
}
