import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { createLineSplitter, decodeUtf8, parseJsonLine, type LinePiece } from '../../shared/json-lines.ts'

type Seen = { text: string; eol: boolean; part: number; continued: boolean }

const bytesOf = (text: string): Uint8Array => Buffer.from(text, 'latin1')

const split = (chunks: readonly Uint8Array[], maxLineBytes: number): Seen[] => {
  const seen: Seen[] = []
  const onLine = ({ bytes, ...rest }: LinePiece): void => {
    seen.push({ text: Buffer.from(bytes).toString('latin1'), ...rest })
  }
  const splitter = createLineSplitter({ maxLineBytes, onLine })
  for (const chunk of chunks) splitter.push(chunk)
  splitter.end()
  return seen
}

/** The definition, by hand: lines by newline, each cut into parts of at most maxLineBytes. */
const expected = (text: string, maxLineBytes: number): Seen[] => {
  const lines = text.split('\n')
  return lines.flatMap((line, index) => {
    const eol = index < lines.length - 1
    if (!eol && line === '') return []
    const count = Math.max(1, Math.ceil(line.length / maxLineBytes))
    return Array.from({ length: count }, (_, part) => {
      const last = part === count - 1
      const piece = line.slice(part * maxLineBytes, (part + 1) * maxLineBytes)
      return { text: piece, eol: eol && last, part: part + 1, continued: !last }
    })
  })
}

const cutAt = (bytes: Uint8Array, cuts: readonly number[]): Uint8Array[] => {
  const borders = [...new Set(cuts.map((cut) => cut % (bytes.length + 1)))].toSorted((a, b) => a - b)
  return [...borders, bytes.length].map((border, index) => bytes.subarray(borders[index - 1] ?? 0, border))
}

const printed = fc
  .array(fc.constantFrom('\n', 'a', 'é', '\r', '0123456789', ''), { maxLength: 60 })
  .map((parts) => parts.join(''))

describe('createLineSplitter()', () => {
  test('gives the same lines for any cutting of the input', () => {
    fc.assert(
      fc.property(
        printed,
        fc.array(fc.nat(), { maxLength: 12 }),
        fc.integer({ min: 1, max: 24 }),
        (text, cuts, max) => {
          expect(split(cutAt(bytesOf(text), cuts), max)).toEqual(expected(text, max))
        },
      ),
      { numRuns: 2000 },
    )
  })

  test('gives the same lines byte by byte', () => {
    const text = 'one\n\nthree is long\nlast'
    expect(
      split(
        [...bytesOf(text)].map((byte) => Uint8Array.of(byte)),
        5,
      ),
    ).toEqual(expected(text, 5))
  })

  test('keeps blank lines and flushes a last line without newline', () => {
    expect(split([bytesOf('\n\nx')], 10)).toEqual([
      { text: '', eol: true, part: 1, continued: false },
      { text: '', eol: true, part: 1, continued: false },
      { text: 'x', eol: false, part: 1, continued: false },
    ])
  })

  test('takes a line of exactly the limit as one piece', () => {
    expect(split([bytesOf('12345'), bytesOf('\n')], 5)).toEqual([
      { text: '12345', eol: true, part: 1, continued: false },
    ])
    expect(split([bytesOf('12345')], 5)).toEqual([{ text: '12345', eol: false, part: 1, continued: false }])
    expect(split([bytesOf('123456\n')], 5)).toEqual([
      { text: '12345', eol: false, part: 1, continued: true },
      { text: '6', eol: true, part: 2, continued: false },
    ])
  })

  test('hands out lines that later chunks do not change', () => {
    const lines: Uint8Array[] = []
    const splitter = createLineSplitter({ maxLineBytes: 100, onLine: (line) => lines.push(line.bytes) })
    for (const piece of ['aa', 'aa\nbb', 'bb\ncc', 'cc\n']) splitter.push(bytesOf(piece))
    expect(lines.map((line) => Buffer.from(line).toString())).toEqual(['aaaa', 'bbbb', 'cccc'])
  })

  test('cuts 64 MB without a newline into parts, in chunks of 16 KiB', () => {
    const chunk = new Uint8Array(16_384).fill(97)
    const sizes: number[] = []
    const splitter = createLineSplitter({ maxLineBytes: 8 << 20, onLine: (line) => sizes.push(line.bytes.length) })
    for (let index = 0; index < 4096; index += 1) splitter.push(chunk)
    splitter.end()
    expect(sizes).toEqual(Array.from({ length: 8 }, () => 8 << 20))
  })
})

describe('decodeUtf8()', () => {
  test('says when a byte was replaced', () => {
    expect(decodeUtf8(Uint8Array.of(0x61, 0xff, 0x62))).toEqual({ text: 'a\uFFFDb', lossy: true })
    expect(decodeUtf8(Buffer.from('a\uFFFDb'))).toEqual({ text: 'a\uFFFDb', lossy: false })
  })

  test('keeps a byte order mark and NUL', () => {
    expect(decodeUtf8(Buffer.from('\uFEFFa\0'))).toEqual({ text: '\uFEFFa\0', lossy: false })
  })

  test('round-trips every text', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), (text) => {
        expect(decodeUtf8(new TextEncoder().encode(text))).toEqual({ text, lossy: false })
      }),
    )
  })
})

describe('parseJsonLine()', () => {
  test('takes only objects with a string type', () => {
    expect(parseJsonLine('{"type":"chunk","content":"x"}')).toEqual({ type: 'chunk', content: 'x' })
    expect(parseJsonLine('  {"type":"chunk"}\r')).toEqual({ type: 'chunk' })
    for (const line of [
      '',
      'x',
      '1',
      '"type"',
      '[{"type":"a"}]',
      '{}',
      '{"type":1}',
      '{"type":"a"',
      '{"type":"a"} x',
      'null',
    ]) {
      expect(parseJsonLine(line), line).toBeUndefined()
    }
  })

  test('reads the bare numbers of Python as null, outside strings only', () => {
    const line = '{"type":"a","x":NaN,"y":[Infinity,-Infinity,-1],"NaN":"NaN, -Infinity \\" NaN","z":{"w":NaN}}'
    expect(parseJsonLine(line)).toEqual({
      type: 'a',
      x: null,
      y: [null, null, -1],
      NaN: 'NaN, -Infinity " NaN',
      z: { w: null },
    })
    expect(parseJsonLine('{"type":"a","x":NaNa}')).toBeUndefined()
    expect(parseJsonLine('{"type":"a","x":"NaN}')).toBeUndefined()
  })

  test('reads whatever Python writes for any value', () => {
    const number = fc.constantFrom('NaN', 'Infinity', '-Infinity', '1.5', '-2')
    fc.assert(
      fc.property(fc.array(fc.tuple(fc.string(), number)), (fields) => {
        const body = fields.map(([key, value]) => `,${JSON.stringify(`k${key}`)}:${value}`).join('')
        const want = Object.fromEntries(
          fields.map(([key, value]) => [`k${key}`, Number.isFinite(Number(value)) ? Number(value) : null]),
        )
        expect(parseJsonLine(`{"type":"a"${body}}`)).toEqual({ type: 'a', ...want })
      }),
    )
  })

  test('refuses more than 200 levels, however deep, and counts no brackets in strings', () => {
    const nested = (levels: number): string => `{"type":"a","x":${'['.repeat(levels - 1)}${']'.repeat(levels - 1)}}`
    expect(parseJsonLine(nested(200))).toBeDefined()
    expect(parseJsonLine(nested(201))).toBeUndefined()
    expect(parseJsonLine(nested(100_000))).toBeUndefined()
    expect(parseJsonLine(`{"type":"a","x":"${'[{'.repeat(500)}"}`)).toBeDefined()
  })

  test('keeps a string of 4 MB with escapes', () => {
    const value = '\\n"NaN"'.repeat(500_000)
    expect(parseJsonLine(`{"type":"a","x":NaN,"y":${JSON.stringify(value)}}`)).toEqual({ type: 'a', x: null, y: value })
  })
})
