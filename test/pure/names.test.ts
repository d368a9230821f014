// ids, subjects, positions, sizes, back-off and the error catalogue.
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { backoffMs } from '../../shared/backoff.ts'
import { AppError, ERRORS, problemOf } from '../../shared/errors.ts'
import { isName, newId, newSecret } from '../../shared/ids.ts'
import { attemptOf, LAST_N, MAX_ATTEMPT, nOf, parseCursor, seqOf, terminalSeq } from '../../shared/position.ts'
import { formatSize, parseSize } from '../../shared/sizes.ts'
import { agentInboxPrefix, hintSubject, runSubject, updateSubject } from '../../shared/subjects.ts'

describe('names', () => {
  it('newId() makes names that sort by age', () => {
    const ids = Array.from({ length: 200 }, () => newId('job'))
    expect(ids.every(isName)).toBe(true)
    expect(ids.toSorted()).toEqual(ids)
  })

  it('newSecret() is never the same twice and holds no character that a URL or header would change', () => {
    const secrets = Array.from({ length: 50 }, () => newSecret('dray'))
    expect(new Set(secrets).size).toBe(50)
    for (const secret of secrets) expect(secret).toMatch(/^dray_[A-Za-z0-9_-]{43}$/)
  })

  it('subjects refuse tokens with dots, wildcards, blanks or nothing', () => {
    for (const bad of ['a.b', '*', '>', '', 'a b', 'a\n', '.', 'ü', 'x'.repeat(64), '-a']) {
      expect(() => runSubject(bad)).toThrow('not a valid token')
      expect(() => hintSubject('t', bad)).toThrow()
      expect(() => agentInboxPrefix(bad)).toThrow()
      expect(() => updateSubject('a', { tenant: 't', job: bad, attempt: 1 })).toThrow()
    }
    for (const attempt of [0, -1, 1.5, Number.NaN])
      expect(() => updateSubject('a', { tenant: 't', job: 'j', attempt })).toThrow('attempt')
  })

  it('subjects are those of PROTOCOL 5', () => {
    expect(updateSubject('a1', { tenant: 't', job: 'j', attempt: 2 })).toBe('upd.a1.t.j.2')
    expect(runSubject('a1')).toBe('run.a1')
    expect(hintSubject('t', 'j')).toBe('job.t.j')
  })
})

describe('positions', () => {
  it('seqOf() is a safe integer that attemptOf() and nOf() take apart again', () => {
    fc.assert(
      fc.property(fc.integer({ min: 0, max: MAX_ATTEMPT }), fc.integer({ min: 0, max: LAST_N }), (attempt, n) => {
        const seq = seqOf(attempt, n)
        expect(Number.isSafeInteger(seq)).toBe(true)
        expect([attemptOf(seq), nOf(seq)]).toEqual([attempt, n])
        expect(seq).toBeLessThanOrEqual(terminalSeq(attempt))
      }),
    )
  })

  it('parseCursor() takes decimal safe integers only', () => {
    expect(parseCursor('0')).toBe(0)
    expect(parseCursor('4294967297')).toBe(4294967297)
    for (const bad of ['', '-1', '01', '1.0', '1e3', ' 1', '9007199254740992', 'x', '١'])
      expect(parseCursor(bad)).toBeUndefined()
  })
})

describe('sizes', () => {
  it('parseSize() reads docker sizes as binary multiples', () => {
    expect(['512m', '2g', '10', '1.5G', '1kb', '1t'].map(parseSize)).toEqual([
      2 ** 29,
      2 ** 31,
      10,
      1.5 * 2 ** 30,
      1024,
      2 ** 40,
    ])
    for (const bad of ['', 'x', '-1m', '1x', '0', '1e9g', 'NaN', '9'.repeat(30)]) expect(parseSize(bad)).toBeUndefined()
  })

  it('formatSize() is read back as the same size', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 2 ** 45 }), (bytes) => {
        expect(parseSize(formatSize(bytes))).toBe(bytes)
      }),
    )
  })
})

describe('backoffMs()', () => {
  it('grows to its bound and never beyond, never below half', () => {
    fc.assert(
      fc.property(fc.nat(1000), fc.float({ min: 0, max: Math.fround(0.999), noNaN: true }), (tries, random) => {
        const ms = backoffMs(tries, { firstMs: 100, maxMs: 10_000 }, random)
        expect(ms).toBeGreaterThanOrEqual(50)
        expect(ms).toBeLessThanOrEqual(10_000)
      }),
    )
  })
})

describe('the error catalogue', () => {
  it('has a sentence and a way out for each code, and a status for those that HTTP answers', () => {
    for (const [code, known] of Object.entries(ERRORS)) {
      expect(code).toMatch(/^[a-z_]+$/)
      expect(known.hint.length).toBeGreaterThan(10)
      if (known.status !== null) expect(known.status).toBeGreaterThanOrEqual(400)
    }
  })

  it('problemOf() keeps its own fields whatever details say', () => {
    const problem = problemOf(
      new AppError('conflict', 'No.', { details: { status: 200, code: 'x', other: 1 } }),
      'req_1',
    )
    expect(problem).toMatchObject({ status: 409, code: 'conflict', detail: 'No.', request_id: 'req_1', other: 1 })
  })
})
