import { mkdtemp, rm } from 'node:fs/promises'
import { expect, inject, test } from 'vitest'
import { startEngine } from '../../deploy/engine.ts'
import { ensureImages } from '../../deploy/image.ts'
import { attach } from '../../runner-agent/engine/attach.ts'
import { createEngine } from '../../runner-agent/engine/engine-client.ts'
import type { ContainerExit } from '../../runner-agent/engine/exit-watch.ts'
import { openOutput } from '../../runner-agent/engine/output-source.ts'
import { createContainer } from '../support/containers.ts'

const LINES = 200_000
const KILL_AT = 20_000
const COUNTING = `i=0; while [ $i -lt ${LINES} ]; do i=$((i+1)); echo line $i; `
/** An engine holds a megabyte of a stream at most. */
const HELD_BY_ENGINE_LINES = 100_000
/** An engine that starts asks what still runs to end, and gives it ten seconds. */
const WAITS = `[ $i -eq ${KILL_AT} ] && until [ "$go" ]; do sleep 0.1; done; `

/** An engine of this test alone, since it is killed. The folder's name must be short: a Unix socket lies below it. */
const ownFolder = async (): Promise<AsyncDisposable & { path: string }> => {
  const path = await mkdtemp('/tmp/er-')
  return { path, [Symbol.asyncDispose]: () => rm(path, { recursive: true, force: true }) }
}

/** The lines of a container whose engine is killed, and started again, when KILL_AT of them were handed out. */
const linesAcrossKill = async (waits: string): Promise<{ lines: string[]; exit: ContainerExit }> => {
  await using folder = await ownFolder()
  const options = { stateDir: folder.path, network: 'isolated' as const, root: inject('engineRoot') || undefined }
  let dockerd = await startEngine(options)
  try {
    const { busybox } = await ensureImages({ socketPath: dockerd.socketPath, stateDir: folder.path })
    const engine = createEngine({ socketPath: dockerd.socketPath })
    const script = `trap 'go=1' TERM; ${COUNTING}${waits}done; printf tail`
    await using container = await createContainer({ engine, image: busybox.image, script })
    const { id } = container
    const socket = await attach({ socketPath: engine.socketPath, id, stdin: true })
    const output = openOutput({ engine, id, socket, position: { stdout: 0, stderr: 0 }, maxLineBytes: 1000 })
    socket.end()
    await engine.startContainer(id)
    output.started()
    const lines: string[] = []
    for await (const line of output) {
      lines.push(Buffer.from(line.bytes).toString())
      if (lines.length !== KILL_AT) continue
      process.kill(dockerd.pid, 'SIGKILL')
      dockerd = await startEngine(options)
    }
    return { lines, exit: await output.exited }
  } finally {
    await dockerd.stop()
  }
}

test('openOutput() hands out every line once although the engine is killed and started again meanwhile', async () => {
  const { lines, exit } = await linesAcrossKill(WAITS)
  const firstWrong = lines.findIndex((line, index) => line !== (index < LINES ? `line ${index + 1}` : 'tail'))
  expect({ count: lines.length, firstWrong: lines[firstWrong] }).toEqual({ count: LINES + 1, firstWrong: undefined })
  expect(exit).toMatchObject({ exitCode: 0, uninterrupted: false })
}, 60_000)

// What an engine has read and neither logged nor sent on dies with it, and no reader can have it. All else is there.
test('openOutput() lacks at most what a killed engine held of a container that prints meanwhile', async () => {
  const { lines, exit } = await linesAcrossKill('')
  const numbers = lines.map((line) => /^line (\d+)$/.exec(line)?.[1]).map(Number)
  expect(lines.at(-1)).toBe('tail')
  const breaks = numbers.flatMap((number, index) => (number === (numbers[index - 1] ?? 0) + 1 ? [] : [index]))
  // The tail is one. A lost piece is one place, with at most one line whose start is gone.
  const [first = LINES, ...others] = breaks
  expect(others.every((index) => index <= first + 1 || index === lines.length - 1)).toBe(true)
  expect(numbers.findLastIndex(Number.isNaN)).toBe(lines.length - 1)
  const whole = numbers.filter((number) => !Number.isNaN(number))
  expect(whole.every((number, index) => index === 0 || number > (whole[index - 1] ?? 0))).toBe(true)
  expect(LINES - whole.length).toBeLessThan(HELD_BY_ENGINE_LINES)
  expect(exit).toMatchObject({ exitCode: 0, uninterrupted: false })
}, 60_000)
