// PROTOCOL 3, bodies: depth at most 100, no duplicate keys, no lone surrogates, no NaN. Values are those of JSON.parse.

import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { parseStrictJson } from '../../shared/strict-json.ts'

const strict = (text: string): unknown => parseStrictJson(text, { maxDepth: 100 })

/** JSON text of a value with escapes and spaces that JSON.stringify would not write. */
function spaced(value: unknown): string {
  if (Array.isArray(value)) return `[ ${value.map(spaced).join(' ,\n')} ]`
  if (typeof value === 'string')
    return `"${Array.from(value, (char) => (char < '\u0080' && char >= ' ' && !'"\\'.includes(char) ? char : escaped(char))).join('')}"`
  if (typeof value !== 'object' || value === null) return JSON.stringify(value)
  return `{\t${Object.entries(value)
    .map(([key, member]) => `${spaced(key)} : ${spaced(member)}`)
    .join(' , ')}}`
}

function escaped(char: string): string {
  return Array.from({ length: char.length }, (_, at) => char.charCodeAt(at))
    .map((unit) => `\\u${unit.toString(16).padStart(4, '0')}`)
    .join('')
}

describe('parseStrictJson()', () => {
  it('gives the value of JSON.parse for every valid text', () => {
    fc.assert(
      fc.property(fc.json({ stringUnit: 'grapheme' }), (text) => {
        expect(strict(text)).toStrictEqual(JSON.parse(text))
      }),
      { numRuns: 2_000 },
    )
  })

  it('gives the value of JSON.parse for escapes and white space', () => {
    fc.assert(
      fc.property(fc.jsonValue({ stringUnit: 'grapheme' }), (value) => {
        const text = spaced(value)
        expect(strict(text)).toStrictEqual(JSON.parse(text))
      }),
      { numRuns: 2_000 },
    )
  })

  it('never accepts what JSON.parse refuses', () => {
    const mutated = fc.tuple(
      fc.json(),
      fc.nat(),
      fc.constantFrom('', '"', '{', '}', '[', ']', ',', ':', '\\', 'e', '-'),
    )
    fc.assert(
      fc.property(mutated, ([text, nat, piece]) => {
        const at = nat % (text.length + 1)
        const broken = text.slice(0, at) + piece + text.slice(at + 1)
        if (!isJson(broken)) expect(() => strict(broken)).toThrow(/line \d+, column \d+$/)
      }),
      { numRuns: 3_000 },
    )
  })

  it.each([
    ['NaN', 'not JSON'],
    ['[Infinity]', 'not JSON'],
    ['', 'not JSON'],
    ['\ufeff{}', 'not JSON'],
    ['{"a":1,"a":2}', 'the key "a" is given twice at line 1, column 8'],
    ['{"a":1,"\\u0061":2}', 'the key "a" is given twice'],
    ['{"__proto__":1,"__proto__":2}', 'the key "__proto__" is given twice'],
    ['{"x":{"a":[1,{"b":1,"c":2,\n"b":3}]}}', 'the key "b" is given twice at line 2, column 1'],
    ['"\ud800"', 'lone surrogate'],
    ['"\\ud800"', 'lone surrogate stands at line 1, column 2'],
    ['{"\\udc00":1}', 'lone surrogate'],
    ['"\\ud800x\\udc00"', 'lone surrogate'],
    ['"\\ud83d\ude00"', 'lone surrogate'],
    ['1e999', 'too large for a double'],
    [`[-${'9'.repeat(310)}]`, 'too large for a double'],
  ])('refuses %j', (text, reason) => {
    expect(() => strict(text)).toThrow(reason)
  })

  it.each([
    '"\\ud83d\\ude00"',
    '"\u{1F600}"',
    '{"a":{"a":1},"b":{"a":1}}',
    '[{"a":1},{"a":1}]',
    '"a\\\\"',
    '1e308',
    '-0',
  ])('accepts %j', (text) => {
    expect(strict(text)).toStrictEqual(JSON.parse(text))
  })

  it('accepts a depth of 100 and refuses 101', () => {
    expect(strict('['.repeat(100) + ']'.repeat(100))).toBeInstanceOf(Array)
    expect(() => strict('{"a":'.repeat(100) + '[]' + '}'.repeat(100))).toThrow('nested deeper than 100')
  })

  it('keeps a key "__proto__" as data', () => {
    const value = strict('{"__proto__":{"polluted":true}}') as Record<string, unknown>
    expect(Object.keys(value)).toEqual(['__proto__'])
    expect(value['polluted']).toBeUndefined()
    expect(({} as Record<string, unknown>)['polluted']).toBeUndefined()
  })

  it.each([
    ['brackets', '['.repeat(16 * 2 ** 20)],
    ['one string', JSON.stringify('x'.repeat(16 * 2 ** 20 - 2))],
    ['escapes', `"${'\\n'.repeat(8 * 2 ** 20 - 1)}"`],
    ['small objects', `[${'{"a":1,"b":"c"},'.repeat(2 ** 20 - 1)}0]`],
    ['numbers', `[${'1234567,'.repeat(2 ** 21 - 1)}0]`],
    ['one object', `{${Array.from({ length: 2 ** 20 }, (_, n) => `"k${n + 2 ** 20}":1`).join(',')}}`],
  ])('reads 16 MiB of %s in seconds, not hours', (_what, text) => {
    const startMs = performance.now()
    try {
      strict(text)
    } catch {
      // The brackets are refused; how fast is what is asked here.
    }
    // Alone it is under one second; a parser that is quadratic takes hours.
    expect(performance.now() - startMs).toBeLessThan(15_000)
  })
})

function isJson(text: string): boolean {
  try {
    JSON.parse(text)
    return true
  } catch {
    return false
  }
}
