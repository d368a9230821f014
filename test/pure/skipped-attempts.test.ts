// A restore skips numbers of attempts: what that makes of a job, and that the hole is a gap to clients, and nothing else is.
import { describe, expect, it } from 'vitest'
import { skippedBefore } from '../../control-plane/core/skipped-attempts.ts'
import { newJobState, transition, type JobEvent } from '../../shared/job-machine.ts'
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
  told: null,
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
  leaseLeftMs: null,
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

describe('transition() of restored', () => {
  const after = (events: readonly JobEvent[]): JobState =>
    events.reduce((state, event) => {
      const next = transition(state, event)
      if (!next.ok) throw new Error(`${event.type} was refused: ${next.refusal}`)
      return next.job
    }, job([], {}).state)
  const restored: JobEvent = { type: 'restored', skipped: 1000 }
  const assign: JobEvent = { type: 'assigned', agent: 'a1', attempt: 1, gpus: [] }
  const by = { agent: 'a1', session: 's1', attempt: 1 }
  const claim: JobEvent = { type: 'claimed', ...by, beat: 1, adopt: false }
  const exit = { code: 0, oom_killed: false, reason: 'exited' } as const
  const finish: JobEvent = { type: 'finished', ...by, exit, result: {}, error: null, updates: 1 }

  it('skips numbers and counts no failure', () => {
    expect(after([restored])).toMatchObject({ phase: 'queued', attempt: 1000, failures: 0 })
  })

  it('makes what was only assigned wait again, for a number that nobody has used', () => {
    const next = { ...assign, attempt: 1001 } as JobEvent
    expect(after([assign, restored, next])).toMatchObject({ phase: 'assigned', assignment: { attempt: 1001 } })
  })

  it('lets what was claimed go on, and end the job beyond all old cursors', () => {
    expect(after([assign, claim, restored])).toMatchObject({ attempt: 1001, assignment: { attempt: 1 } })
    expect(after([assign, claim, restored, finish])).toMatchObject({ status: 'completed', attempt: 1001 })
    expect(transition(after([assign, claim, finish]), restored)).toMatchObject({ refusal: 'terminal' })
  })
})
