import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { createLineMemory } from '../../runner-agent/engine/line-memory.ts'
import { createLogPlace, type AttachedTail, type LogPlace } from '../../runner-agent/engine/log-place.ts'
import { createLineSplitter, type LinePiece } from '../../shared/json-lines.ts'

const MAX_LINE_BYTES = 50_000

const textOf = (piece: LinePiece): string => Buffer.from(piece.bytes).toString()

/** What the socket handed out of `text`, and what it knew of the rest. */
const attachedTo = (text: string): { handedOut: string[]; tail: AttachedTail } => {
  const handedOut: string[] = []
  const memory = createLineMemory()
  const splitter = createLineSplitter({
    maxLineBytes: MAX_LINE_BYTES,
    onLine: (piece) => {
      handedOut.push(textOf(piece))
      memory.note(handedOut.length, piece.bytes)
    },
  })
  splitter.push(Buffer.from(text))
  return { handedOut, tail: { memory, open: splitter.open() } }
}

const readFrom = (place: LogPlace, logged: string): string[] => {
  const texts: string[] = []
  const keep = (piece: LinePiece | undefined): void => {
    if (piece !== undefined) texts.push(textOf(piece))
  }
  const splitter = createLineSplitter({ maxLineBytes: MAX_LINE_BYTES, onLine: (piece) => keep(place.take(piece)) })
  splitter.push(Buffer.from(logged))
  splitter.end()
  keep(place.end())
  return texts
}

/** All that is handed out when the socket delivered `delivered` and the log then says `logged`. */
const bothOf = (delivered: string, logged: string): string[] => {
  const { handedOut, tail } = attachedTo(delivered)
  return [...handedOut, ...readFrom(createLogPlace({ skipLines: handedOut.length, tail }), logged)]
}

const numbered = (count: number): string => Array.from({ length: count }, (_, index) => `line ${index + 1}\n`).join('')

describe('createLogPlace()', () => {
  test('skips what was handed out, wherever the socket ended', () => {
    const all = numbered(50)
    fc.assert(
      fc.property(fc.integer({ min: 0, max: all.length }), (end) => {
        expect(bothOf(all.slice(0, end), all)).toEqual(all.trimEnd().split('\n'))
      }),
    )
  })

  test('a line whose start only the socket had is whole, however much a killed engine took with it', () => {
    const all = numbered(60)
    fc.assert(
      fc.property(fc.integer({ min: 0, max: all.length }), fc.integer({ min: 0, max: 200 }), (end, unlogged) => {
        // What an engine logs before its death are whole lines.
        const logged = all.slice(0, all.lastIndexOf('\n', end - unlogged - 1) + 1)
        expect(bothOf(all.slice(0, end), logged + all.slice(end))).toEqual(all.trimEnd().split('\n'))
      }),
    )
  })

  test('a long line of which a killed engine had logged some entries is whole', () => {
    const long = Array.from({ length: 40_000 }, (_, index) => String.fromCharCode(97 + (index % 23))).join('')
    const logged = `first\n${long.slice(0, 32_768)}\n${long.slice(37_000)}\nlast\n`
    expect(bothOf(`first\n${long.slice(0, 37_000)}`, logged)).toEqual(['first', long, 'last'])
  })

  test('a last line that only the socket had is handed out when the log is complete', () => {
    expect(bothOf('first\nta', 'first\n')).toEqual(['first', 'ta'])
    expect(bothOf('first\nta', 'first\nta')).toEqual(['first', 'ta'])
    expect(bothOf('first\nta', 'first\nil')).toEqual(['first', 'tail'])
  })

  test('without a socket the count is the place', () => {
    expect(readFrom(createLogPlace({ skipLines: 2 }), 'one\ntwo\nthree')).toEqual(['three'])
  })
})
