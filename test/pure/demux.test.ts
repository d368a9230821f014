import fc from 'fast-check'
import { expect, test } from 'vitest'
import { createDemux, type FrameStream } from '../../runner-agent/engine/demux.ts'

type Frame = { kind: 1 | 2; payload: Uint8Array }

const frameBytes = ({ kind, payload }: { kind: number; payload: Uint8Array }): Buffer => {
  const header = Buffer.alloc(8)
  header[0] = kind
  header.writeUInt32BE(payload.length, 4)
  return Buffer.concat([header, payload])
}

const cut = (bytes: Uint8Array, sizes: readonly number[]): Uint8Array[] => {
  const chunks: Uint8Array[] = []
  let at = 0
  for (let index = 0; at < bytes.length; index += 1) {
    const size = sizes[index % sizes.length] ?? 1
    chunks.push(bytes.subarray(at, at + size))
    at += size
  }
  return chunks
}

const read = (chunks: readonly Uint8Array[]) => {
  const streams: Record<FrameStream, Uint8Array[]> = { stdout: [], stderr: [], system: [] }
  let frames = 0
  const demux = createDemux((stream, bytes, frameEnds) => {
    streams[stream].push(bytes)
    if (frameEnds) frames += 1
  })
  for (const chunk of chunks) demux.push(chunk)
  const text = (stream: FrameStream): string => Buffer.concat(streams[stream]).toString('latin1')
  return { stdout: text('stdout'), stderr: text('stderr'), system: text('system'), frames, clean: demux.clean() }
}

const frames = fc.array(
  fc.record({
    kind: fc.constantFrom<1 | 2>(1, 2),
    payload: fc.uint8Array({ maxLength: 60 }),
  }) satisfies fc.Arbitrary<Frame>,
  { maxLength: 20 },
)
const sizes = fc.array(fc.integer({ min: 1, max: 40 }), { minLength: 1, maxLength: 8 })

test('createDemux() gives each stream its bytes for any cutting into chunks', () => {
  fc.assert(
    fc.property(frames, sizes, (sent, chunkSizes) => {
      const got = read(cut(Buffer.concat(sent.map(frameBytes)), chunkSizes))
      const of = (kind: number): string =>
        Buffer.concat(sent.filter((frame) => frame.kind === kind).map((frame) => frame.payload)).toString('latin1')
      expect(got).toEqual({ stdout: of(1), stderr: of(2), system: '', frames: sent.length, clean: true })
    }),
  )
})

test('createDemux() is not clean when the stream is cut within a frame or a header', () => {
  const whole = frameBytes({ kind: 1, payload: Buffer.from('hello') })
  for (let length = 1; length < whole.length; length += 1) expect(read([whole.subarray(0, length)]).clean).toBe(false)
  expect(read([whole]).clean).toBe(true)
})

test('createDemux() takes 200,000 frames of one byte in one chunk', () => {
  const payload = Buffer.from('x')
  const got = read([Buffer.concat(Array.from({ length: 200_000 }, () => frameBytes({ kind: 1, payload })))])
  expect(got.stdout.length).toBe(200_000)
})

test('createDemux() copies nothing', () => {
  const chunk = frameBytes({ kind: 1, payload: Buffer.from('hello') })
  createDemux((_, bytes) => expect(bytes.buffer).toBe(chunk.buffer)).push(chunk)
})

test('createDemux() keeps the word of the engine apart from the output', () => {
  const got = read([
    frameBytes({ kind: 3, payload: Buffer.from('broken') }),
    frameBytes({ kind: 0, payload: Buffer.from('echo') }),
  ])
  expect(got).toMatchObject({ system: 'broken', stdout: 'echo', stderr: '' })
})

test('createDemux() refuses an absurd length and what is no frame', () => {
  const absurd = Buffer.from([1, 0, 0, 0, 0xff, 0xff, 0xff, 0xff])
  expect(() => read([absurd])).toThrow('4294967295 bytes')
  expect(() => read([Buffer.from('plain text of a terminal')])).toThrow('not a frame header')
  expect(() => read([Buffer.from([4, 0, 0, 0, 0, 0, 0, 1])])).toThrow('not a frame header')
})
