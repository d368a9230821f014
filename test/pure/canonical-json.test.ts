// PROTOCOL 3: a repeated Idempotency-Key is compared as canonical JSON.

import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { canonicalJson } from '../../shared/canonical-json.ts'

function reversed(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(reversed)
  if (typeof value !== 'object' || value === null) return value
  return Object.fromEntries(
    Object.entries(value)
      .toReversed()
      .map(([key, member]) => [key, reversed(member)]),
  )
}

describe('canonicalJson()', () => {
  it('is the same for any order of keys', () => {
    fc.assert(
      fc.property(fc.jsonValue(), (value) => {
        expect(canonicalJson(reversed(value))).toBe(canonicalJson(value))
      }),
      { numRuns: 1_000 },
    )
  })

  it('keeps the value', () => {
    fc.assert(
      fc.property(fc.jsonValue(), (value) => {
        const text = JSON.stringify(value)
        expect(JSON.parse(canonicalJson(JSON.parse(text)))).toStrictEqual(JSON.parse(text))
      }),
      { numRuns: 1_000 },
    )
  })

  it('sorts by code unit and writes no spaces', () => {
    expect(canonicalJson({ b: 1, a: [true, null], é: 'x', Z: 1.0, '10': 0, '9': 0 })).toBe(
      '{"10":0,"9":0,"Z":1,"a":[true,null],"b":1,"é":"x"}',
    )
  })

  it('tells a key "__proto__" from its absence', () => {
    expect(canonicalJson(JSON.parse('{"__proto__":1}'))).toBe('{"__proto__":1}')
  })
})
