import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { createLogJoiner } from '../../runner-agent/engine/log-joiner.ts'

const FULL = 16_384

const stampOf = (index: number): string => `2026-11-25T01:22:20.${String(index).padStart(9, '0')}Z`

type Driver = 'local 20.10' | 'keeps newlines'

/**
 * What the engine's copier and log driver make of a container's output: entries of at most 16,384 bytes, one timestamp a
 * line; "local" of 20.10 without the newline of a line that took several entries.
 */
const logOf = (text: string, driver: Driver): Uint8Array[] => {
  const entries: string[] = []
  const lines = text.split('\n')
  for (const [index, line] of lines.entries()) {
    const ended = index < lines.length - 1
    let rest = line
    let parts = 0
    // A line without its newline goes out full as soon as the buffer is full; with it, the newline must fit as well.
    for (; rest.length >= FULL; parts += 1) {
      entries.push(`${stampOf(index)} ${rest.slice(0, FULL)}`)
      rest = rest.slice(FULL)
    }
    const newline = ended && (parts === 0 || driver === 'keeps newlines') ? '\n' : ''
    if (ended || rest !== '') entries.push(`${stampOf(index)} ${rest}${newline}`)
  }
  return entries.map((entry) => Buffer.from(entry))
}

const join = (entries: readonly Uint8Array[], longLinesKeepNewline: boolean): string => {
  const pieces: Uint8Array[] = []
  const joiner = createLogJoiner({ longLinesKeepNewline, onBytes: (bytes) => pieces.push(bytes) })
  for (const entry of entries) joiner.push(entry)
  joiner.end()
  return Buffer.concat(pieces).toString()
}

const lengths = fc.oneof(
  fc.integer({ min: 0, max: 40 }),
  fc.integer({ min: FULL - 3, max: FULL + 3 }),
  fc.integer({ min: 2 * FULL - 2, max: 2 * FULL + 2 }),
  fc.integer({ min: 0, max: 100_000 }),
)
const printed = fc
  .tuple(fc.array(lengths, { maxLength: 12 }), fc.constantFrom('', 'tail'))
  .map(
    ([sizes, tail]) => sizes.map((size, index) => `${String.fromCharCode(97 + index).repeat(size)}\n`).join('') + tail,
  )

describe('createLogJoiner()', () => {
  test('gives back every byte, whether the driver kept the newline of long lines or not', () => {
    fc.assert(
      fc.property(printed, (text) => {
        expect(join(logOf(text, 'local 20.10'), false)).toBe(text)
        expect(join(logOf(text, 'keeps newlines'), true)).toBe(text)
        // An engine of unknown age: right as well, since a kept newline speaks for itself.
        expect(join(logOf(text, 'keeps newlines'), false)).toBe(text)
      }),
      { numRuns: 300 },
    )
  })

  test('knows that a very long last line had no newline, where the engine keeps newlines', () => {
    const text = `first\n${'x'.repeat(20_000)}`
    expect(join(logOf(text, 'keeps newlines'), true)).toBe(text)
    expect(join(logOf(text, 'local 20.10'), false)).toBe(`${text}\n`)
  })

  test('joins a line that the restart of an engine cut', () => {
    const entries = [`${stampOf(1)} half a `, `${stampOf(2)} line\n`].map((entry) => Buffer.from(entry))
    expect(join(entries, false)).toBe('half a line\n')
  })

  test('gives the timestamp of the entry', () => {
    const seen: string[] = []
    const joiner = createLogJoiner({ longLinesKeepNewline: false, onBytes: (_, timestamp) => seen.push(timestamp) })
    joiner.push(Buffer.from(`${stampOf(7)} a\n`))
    expect(seen).toEqual([stampOf(7)])
  })

  test('refuses an entry without a timestamp', () => {
    expect(() => join([Buffer.from('plain\n')], false)).toThrow('no timestamp')
  })
})
