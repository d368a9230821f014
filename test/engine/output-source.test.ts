import { describe, expect, inject, test } from 'vitest'
import { attach } from '../../runner-agent/engine/attach.ts'
import { createEngine } from '../../runner-agent/engine/engine-client.ts'
import type { OutputLine } from '../../runner-agent/engine/line-queue.ts'
import { openOutput, type OutputOptions, type OutputSource } from '../../runner-agent/engine/output-source.ts'
import { collect, createContainer, manyLines, type ContainerRequest } from '../support/containers.ts'
import { eventually } from '../support/eventually.ts'

const engine = createEngine({ socketPath: inject('engineSocket') })
const image = inject('busyboxImage')
const { socketPath } = engine
const start = { stdout: 0, stderr: 0 }
const MiB = 1024 * 1024

type Trial = { request: Partial<ContainerRequest>; output?: Partial<OutputOptions> }

/** Runs a container with its output attached; `use` reads as it likes. */
const withAttached = async <T>(
  trial: Trial,
  use: (output: OutputSource, socket: { destroy(): void }, id: string) => Promise<T>,
) => {
  await using container = await createContainer({ engine, image, ...trial.request })
  const socket = await attach({ socketPath, id: container.id, stdin: true })
  const output = openOutput({
    engine,
    id: container.id,
    socket,
    position: start,
    maxLineBytes: 8 * MiB,
    ...trial.output,
  })
  try {
    socket.end()
    await engine.startContainer(container.id)
    output.started()
    return await use(output, socket, container.id)
  } finally {
    await output.close()
  }
}

const fromLog = async (id: string, options: Partial<OutputOptions> = {}): Promise<OutputLine[]> => {
  const output = openOutput({ engine, id, position: start, maxLineBytes: 8 * MiB, ...options })
  output.started()
  return collect(output)
}

const textsOf = (lines: readonly OutputLine[], stream: 'stdout' | 'stderr'): string[] =>
  lines.filter((line) => line.stream === stream).map((line) => Buffer.from(line.bytes).toString('latin1'))

/** Compares without printing megabytes when it fails. */
const expectExact = (lines: readonly OutputLine[], printed: { stdout: string[]; stderr: string[] }): void => {
  for (const stream of ['stdout', 'stderr'] as const) {
    const texts = textsOf(lines, stream)
    const wrong = printed[stream].findIndex((text, index) => text !== texts[index])
    expect({ stream, count: texts.length, firstWrong: wrong }).toEqual({
      stream,
      count: printed[stream].length,
      firstWrong: -1,
    })
    const counts = lines.filter((line) => line.stream === stream).map((line) => line.count)
    expect(counts.every((count, index) => count === index + 1)).toBe(true)
  }
}

describe('openOutput()', () => {
  test('hands out every line of both streams from the attached socket', async () => {
    const printed = manyLines(800, 1)
    await withAttached({ request: { script: printed.script } }, async (output) => {
      const lines = await collect(output)
      expectExact(lines, printed)
      expect(lines.filter((line) => !line.eol).map((line) => line.stream)).toEqual(['stdout'])
      expect(output.kind()).toBe('attached')
      expect(await output.exited).toEqual({ exitCode: 0, uninterrupted: true })
    })
  })

  test('goes on with the log when the buffer is full, each line exactly once', async () => {
    const printed = manyLines(1200, 2)
    await withAttached({ request: { script: printed.script }, output: { bufferBytes: MiB / 4 } }, async (output) => {
      await eventually(() => output.kind() === 'log', { what: 'the buffer overflowed' })
      const lines: OutputLine[] = []
      for await (const line of output) {
        lines.push(line)
        // A consumer slower than the container: it yields to the event loop at each line.
        await new Promise((resolve) => setImmediate(resolve))
      }
      expectExact(lines, printed)
    })
  })

  test.for([1, 2, 3, 4, 5, 6, 7, 8, 9, 10])(
    'loses and repeats nothing when the socket breaks, moment %i',
    async (seed) => {
      const printed = manyLines(300, seed)
      const breakAt = (seed * 7919) % 590
      await withAttached({ request: { script: printed.script } }, async (output, socket) => {
        const lines: OutputLine[] = []
        for await (const line of output) {
          lines.push(line)
          if (lines.length === breakAt) socket.destroy()
        }
        expectExact(lines, printed)
      })
    },
  )

  test.for(['local', 'json-file'] as const)(
    'reads an ended container from its %s log, from any position',
    async (driver) => {
      const printed = manyLines(400, 3)
      await using container = await createContainer({ engine, image, script: printed.script, driver })
      await engine.startContainer(container.id)
      const lines = await fromLog(container.id)
      expectExact(lines, printed)
      expect(lines.filter((line) => !line.eol).map((line) => Buffer.from(line.bytes).toString())).toEqual(['tail'])
      const rest = await fromLog(container.id, { position: { stdout: 123, stderr: 390 } })
      expect(textsOf(rest, 'stdout')).toEqual(printed.stdout.slice(123))
      expect(textsOf(rest, 'stderr')).toEqual(printed.stderr.slice(390))
      expect(rest.find((line) => line.stream === 'stdout')?.count).toBe(124)
      expect(await fromLog(container.id, { position: { stdout: 401, stderr: 400 } })).toEqual([])
    },
  )

  test('follows a running container from its log and hands out lines as they come', async () => {
    await using container = await createContainer({ engine, image, script: 'echo one; read x; printf two' })
    const socket = await attach({ socketPath, id: container.id, stdin: true })
    await engine.startContainer(container.id)
    const output = openOutput({ engine, id: container.id, position: start, maxLineBytes: MiB })
    output.started()
    const first = await output.next()
    expect(first).toMatchObject({ stream: 'stdout', eol: true, count: 1 })
    expect(Math.abs((first?.at ?? 0) - Date.now())).toBeLessThan(60_000)
    socket.resume().end('\n')
    expect(Buffer.from((await output.next())?.bytes ?? []).toString()).toBe('two')
    expect(await output.next()).toBeUndefined()
  })

  test('cuts a line of 20 MiB into parts, the same from socket and log', async () => {
    const sizes = [8 * MiB, 8 * MiB, 4 * MiB]
    const shapes = (lines: readonly OutputLine[]) =>
      lines.map(({ bytes, part, continued, eol }) => [bytes.length, part, continued, eol])
    const whole = [
      [8 * MiB, 1, true, false],
      [8 * MiB, 2, true, false],
      [4 * MiB, 3, false, true],
      [3, 1, false, true],
    ]
    expect(sizes.reduce((sum, size) => sum + size)).toBe(20 * MiB)
    await withAttached(
      { request: { script: `head -c ${20 * MiB} /dev/zero; echo; echo end` } },
      async (output, _, id) => {
        expect(shapes(await collect(output))).toEqual(whole)
        expect(shapes(await fromLog(id))).toEqual(whole)
        // In the middle of the line: two of its parts were stored before.
        expect(shapes(await fromLog(id, { position: { stdout: 2, stderr: 0 } }))).toEqual(whole.slice(2))
      },
    )
  })

  test('switches in the middle of a huge line without repeating a part', async () => {
    const script = `head -c ${20 * MiB} /dev/zero; echo; echo end`
    const trial = { request: { script }, output: { bufferBytes: 3 * MiB, maxLineBytes: MiB } }
    await withAttached(trial, async (output) => {
      await eventually(() => output.kind() === 'log', { what: 'the buffer overflowed' })
      const lines = await collect(output)
      expect(lines.map((line) => line.count)).toEqual(Array.from({ length: 21 }, (_, index) => index + 1))
      expect(lines.map((line) => line.part)).toEqual([...Array.from({ length: 20 }, (_, index) => index + 1), 1])
      expect(lines.reduce((sum, line) => sum + line.bytes.length, 0)).toBe(20 * MiB + 3)
    })
  })

  test('does not block the container when nobody takes the lines', async () => {
    const script = 'yes 0123456789012345678901234567890123456789 | head -c 8200000; echo end >&2'
    await withAttached({ request: { script }, output: { bufferBytes: MiB } }, async (output, _, id) => {
      expect(await output.exited).toMatchObject({ exitCode: 0 })
      expect((await engine.inspectContainer(id)).State.Running).toBe(false)
      expect(output.bufferedBytes()).toBeLessThan(4 * MiB)
      let stdout = 0
      for await (const line of output) stdout += line.stream === 'stdout' ? 1 : 0
      expect(stdout).toBe(200_000)
    })
  })

  test('gives a large input to the container although the switch comes first', async () => {
    const input = Buffer.alloc(3 * MiB, 'x')
    await using container = await createContainer({
      engine,
      image,
      script: 'head -c 3m /dev/zero; echo; wc -c',
    })
    const socket = await attach({ socketPath, id: container.id, stdin: true })
    const output = openOutput({
      engine,
      id: container.id,
      socket,
      position: start,
      maxLineBytes: MiB,
      bufferBytes: MiB,
    })
    socket.end(input)
    await engine.startContainer(container.id)
    output.started()
    await eventually(() => output.kind() === 'log', { what: 'the buffer overflowed' })
    const lines = await collect(output)
    expect(Buffer.from(lines.at(-1)?.bytes ?? []).toString()).toBe(String(input.length))
  })

  test('rejects when the container was removed by somebody else', async () => {
    await using container = await createContainer({ engine, image, script: 'sleep 60' })
    await engine.startContainer(container.id)
    const output = openOutput({ engine, id: container.id, position: start, maxLineBytes: MiB })
    output.started()
    const next = output.next()
    next.catch(() => undefined)
    await engine.removeContainer(container.id)
    await expect(next).rejects.toMatchObject({ kind: 'container_missing', code: 'engine_lost' })
  })

  test('close() ends a waiting consumer and leaves the container alone', async () => {
    await withAttached({ request: { script: 'sleep 60' } }, async (output, _, id) => {
      const next = output.next()
      next.catch(() => undefined)
      await output.close()
      await expect(next).rejects.toThrow('closed')
      await expect(output.exited).rejects.toThrow('closed')
      expect((await engine.inspectContainer(id)).State.Running).toBe(true)
    })
  })
})
