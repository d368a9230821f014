// skippedBefore(): a hole in the numbers of attempts is a gap to clients, and nothing else is.
import { describe, expect, it } from 'vitest'
import { skippedBefore } from '../../control-plane/core/skipped-attempts.ts'
import { newJobState } from '../../shared/job-machine.ts'
import { submitBodySchema } from '../../shared/job-spec.ts'
import type { AttemptRecord, JobRecord, JobState } from '../../shared/job.ts'
import { LAST_N, seqOf, terminalSeq } from '../../shared/position.ts'

const row = (attempt: number): AttemptRecord => ({
  attempt,
  agent: 'a1',
  session: 's1',
  gpus: [],
  imageDigest: null,
  claimedAtMs: 0,
  startedAtMs: null,
  finishedAtMs: null,
  updates: null,
  exit: null,
  error: null,
})
const spec = submitBodySchema.parse({ image: 'x' })
const job = (attempts: readonly number[], state: Partial<JobState>): JobRecord => ({
  state: { ...newJobState('t', 'j', spec.retries), ...state },
  spec,
  retryOf: null,
  createdAtMs: 0,
  startedAtMs: null,
  finishedAtMs: null,
  attempts: attempts.map(row),
  heldAttempts: [],
})
const ended = { status: 'error', phase: 'finished' } as const

describe('skippedBefore()', () => {
  it('is nothing where attempts count up by one', () => {
    expect(skippedBefore(job([1, 2], { attempt: 2 }), 0, row(1))).toBeNull()
    expect(skippedBefore(job([1, 2], { attempt: 2 }), seqOf(2, 0), row(2))).toBeNull()
    expect(skippedBefore(job([1], { ...ended, attempt: 1 }), seqOf(2, 0), undefined)).toBeNull()
    expect(skippedBefore(job([], { ...ended, attempt: 0 }), 0, undefined)).toBeNull()
  })

  it('is all that attempts between a cursor and the next attempt may have said', () => {
    const record = job([1, 1002], { attempt: 1002 })
    expect(skippedBefore(record, seqOf(2, 0), row(1002))).toEqual({ from: seqOf(2, 1), to: seqOf(1001, LAST_N) })
    expect(skippedBefore(record, seqOf(2, 57), row(1002))).toEqual({ from: seqOf(2, 58), to: seqOf(1001, LAST_N) })
    expect(skippedBefore(record, seqOf(1001, LAST_N), row(1002))).toBeNull()
    expect(skippedBefore(job([1001], { attempt: 1001 }), 0, row(1001))).toMatchObject({ from: seqOf(1, 1) })
  })

  it('is said before a terminal update that no held attempt told, and once', () => {
    const lost = job([1], { ...ended, attempt: 1001 })
    const gap = { from: seqOf(2, 1), to: terminalSeq(1001) - 1 }
    expect(skippedBefore(lost, seqOf(2, 0), undefined)).toEqual(gap)
    expect(skippedBefore(lost, gap.to, undefined)).toBeNull()
    const told = job([1], { ...ended, attempt: 1001, finishedBy: { agent: 'a1', attempt: 1 } })
    expect(skippedBefore(told, seqOf(2, 0), undefined)).toBeNull()
    expect(skippedBefore(job([1], { attempt: 1001 }), seqOf(2, 0), undefined)).toBeNull()
  })
})
