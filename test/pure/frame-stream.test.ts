// A relay's frames as the body of a response: back-pressure, signs of life, the two kinds of end.

import { expect, test } from 'vitest'
import {
  createFrameStream,
  NDJSON,
  SERVER_SENT_EVENTS,
  type FrameStreamOptions,
} from '../../control-plane/http/frame-stream.ts'
import type { FrameBatch, FrameSink } from '../../control-plane/core/relay.ts'

function batch(...seqs: number[]): FrameBatch {
  const frames = seqs.map((seq) => ({ json: `{"seq":${seq}}`, seq, kind: 'update' as const }))
  return { frames, text: () => '' }
}

/** A clock whose time is moved by the test, and a sink that the test drives as the relay would. */
function stage(options: Partial<FrameStreamOptions> = {}) {
  let timers: { callback: () => void }[] = []
  let sink: FrameSink | undefined
  const seen = { detached: 0, cut: [] as string[] }
  const stream = createFrameStream({
    format: NDJSON,
    clock: {
      nowMs: () => 0,
      after(_ms, callback) {
        const timer = { callback }
        timers.push(timer)
        return () => {
          timers = timers.filter((other) => other !== timer)
        }
      },
    },
    keepAliveMs: 15_000,
    limit: null,
    attach(given) {
      sink = given
      return () => {
        seen.detached += 1
      }
    },
    onCut(reason) {
      seen.cut.push(reason)
      return false
    },
    ...options,
  })
  if (!sink) throw new Error('it did not attach')
  const passTime = (): void => {
    for (const { callback } of timers.splice(0)) callback()
  }
  return { stream, sink, seen, passTime, timerCount: () => timers.length }
}

const textOf = (stream: ReadableStream<Uint8Array>): Promise<string> => new Response(stream).text()

test('it writes a line for each frame, and ends when the relay closes with 1000', async () => {
  const { stream, sink, seen, timerCount } = stage()
  sink.send(batch(1, 2))
  sink.send(batch(3))
  sink.close(1000, 'done')
  expect(await textOf(stream)).toBe('{"seq":1}\n{"seq":2}\n{"seq":3}\n')
  expect([seen.detached, timerCount()]).toEqual([1, 0])
})

test('it writes events with the seq as id, and a comment after 15 s of silence', async () => {
  const { stream, sink, passTime } = stage({ format: SERVER_SENT_EVENTS })
  const reader = stream.getReader()
  const read = async (): Promise<string> => new TextDecoder().decode((await reader.read()).value)
  sink.send(batch(7))
  expect(await read()).toBe('id: 7\ndata: {"seq":7}\n\n')
  passTime()
  expect(await read()).toBe(':\n\n')
  passTime()
  expect(await read()).toBe(':\n\n')
})

test('it gives no sign of life to a client that does not even take what is queued', () => {
  const { sink, passTime } = stage()
  sink.send(batch(1))
  sink.send(batch(2))
  const before = sink.bufferedBytes()
  passTime()
  expect(sink.bufferedBytes()).toBe(before)
})

test('it counts all but one chunk as not taken until the client takes it', async () => {
  const { stream, sink } = stage()
  for (const seq of [1, 2, 3]) sink.send(batch(seq))
  expect(sink.bufferedBytes()).toBe(2 * '{"seq":1}\n'.length)
  const reader = stream.getReader()
  await reader.read()
  await reader.read()
  expect(sink.bufferedBytes()).toBe(0)
})

test('it ends after so many frames where a limit is given', async () => {
  const { stream, sink, seen } = stage({ limit: 2 })
  sink.send(batch(1, 2, 3))
  sink.send(batch(4))
  expect(await textOf(stream)).toBe('{"seq":1}\n{"seq":2}\n')
  expect(seen.detached).toBe(1)
})

test('it breaks off, and does not look complete, when the relay closes with another code', async () => {
  const { stream, sink, seen, timerCount } = stage()
  sink.send(batch(1))
  sink.close(4408, 'too slow')
  await expect(textOf(stream)).rejects.toThrow('too slow')
  expect([seen.cut, seen.detached, timerCount()]).toEqual([['too slow'], 1, 0])
})

test('it lets the relay go when the client hangs up', async () => {
  const { stream, sink, seen, timerCount } = stage()
  await stream.cancel()
  sink.send(batch(1))
  expect([seen.detached, timerCount(), sink.bufferedBytes()]).toEqual([1, 0, 0])
})

test('it detaches from a relay that closes while it attaches', async () => {
  const { promise, resolve } = Promise.withResolvers<void>()
  const stream = createFrameStream({
    format: NDJSON,
    clock: { nowMs: () => 0, after: () => () => undefined },
    keepAliveMs: 1,
    limit: null,
    attach(sink) {
      sink.close(1000, 'done')
      return resolve
    },
    onCut: () => false,
  })
  expect(await textOf(stream)).toBe('')
  await promise
})
