// transition(): each row of the table in DESIGN 4, and what must hold for every sequence of events.
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { newJobState, transition, type JobEvent } from '../../shared/job-machine.ts'
import { isTerminal, type Exit, type JobState, type RetryPolicy } from '../../shared/job.ts'
import { jobError } from '../../shared/errors.ts'

const NO_RETRIES: RetryPolicy = { max_attempts: 1, on: [], backoff_seconds: 1, exclusive: false }
const RETRIES: RetryPolicy = {
  max_attempts: 3,
  on: ['agent_lost', 'exit_nonzero'],
  backoff_seconds: 1,
  exclusive: false,
}
const EXITED: Exit = { code: 0, oom_killed: false, reason: 'exited' }
const CANCELLED: Exit = { code: 143, signal: 'SIGTERM', oom_killed: false, reason: 'cancelled' }

const fresh = (retries = NO_RETRIES): JobState => newJobState('default', 'j1', retries)
const assign = (attempt = 1, agent = 'a1'): JobEvent => ({ type: 'assigned', agent, attempt, gpus: [] })
const claim = (attempt = 1, session = 's1', adopt = false): JobEvent => ({
  type: 'claimed',
  agent: 'a1',
  session,
  attempt,
  beat: 1,
  adopt,
})
const finish = (exit: Exit, more: Partial<Extract<JobEvent, { type: 'finished' }>> = {}): JobEvent => ({
  type: 'finished',
  agent: 'a1',
  session: 's1',
  attempt: 1,
  exit,
  result: undefined,
  error: null,
  updates: 3,
  ...more,
})
const report = (phase: 'pulling' | 'creating' | 'running'): JobEvent => ({
  type: 'reported',
  agent: 'a1',
  session: 's1',
  attempt: 1,
  phase,
})

/** Applies events; each must be accepted. */
function after(events: readonly JobEvent[], job = fresh()): JobState {
  for (const event of events) {
    const next = transition(job, event)
    if (!next.ok) throw new Error(`${event.type} was refused: ${next.refusal}`)
    job = next.job
  }
  return job
}

const refusal = (job: JobState, event: JobEvent): string => {
  const next = transition(job, event)
  return next.ok ? 'accepted' : next.refusal
}

describe('transition()', () => {
  it('walks from queued over assigned, pulling, creating and running to completed', () => {
    const phases: string[] = []
    let job = fresh()
    for (const event of [
      assign(),
      claim(),
      report('creating'),
      report('running'),
      finish(EXITED, { result: { a: [1] } }),
    ]) {
      job = after([event], job)
      phases.push(`${job.status}.${job.phase}`)
    }
    expect(phases).toEqual([
      'starting.assigned',
      'starting.pulling',
      'starting.creating',
      'running.running',
      'completed.finished',
    ])
    expect(job).toMatchObject({ attempt: 1, result: { a: [1] }, error: null, assignment: null })
  })

  it('gives {} as the result of a job that output nothing', () => {
    expect(after([assign(), claim(), finish(EXITED)]).result).toEqual({})
  })

  it('refuses an assignment that is not the next attempt', () => {
    expect(refusal(fresh(), assign(2))).toBe('attempt_not_next')
  })

  it('refuses a second assignment and takes an unclaimed one back with the same attempt', () => {
    const job = after([assign()])
    expect(refusal(job, assign())).toBe('wrong_phase')
    expect(after([{ type: 'unassigned', attempt: 1, reason: '' }, assign(1, 'a2')], job).assignment?.agent).toBe('a2')
  })

  it('begins an attempt at its claim, not at its assignment', () => {
    expect(after([assign()]).attempt).toBe(0)
    expect(after([assign(), claim()]).attempt).toBe(1)
  })

  it('answers a repeated claim of the same session as a duplicate', () => {
    expect(refusal(after([assign(), claim()]), claim())).toBe('duplicate')
  })

  it('lets another session claim only by adoption', () => {
    const job = after([assign(), claim()])
    expect(refusal(job, claim(1, 's2'))).toBe('superseded')
    expect(after([claim(1, 's2', true)], job).assignment?.session).toBe('s2')
  })

  it('refuses a claim by an agent that it was not assigned to', () => {
    expect(refusal(after([assign(1, 'a2')]), claim())).toBe('wrong_agent')
  })

  it('never goes back to an earlier phase on a late report', () => {
    expect(refusal(after([assign(), claim(), report('running')]), report('creating'))).toBe('duplicate')
  })

  it('goes to reconnecting when lapsed and back to where it was when renewed', () => {
    const lapsed = after([assign(), claim(), report('running'), { type: 'lapsed', attempt: 1, reason: '' }])
    expect(lapsed).toMatchObject({ status: 'running', phase: 'reconnecting' })
    const renewed = after([{ type: 'renewed', agent: 'a1', session: 's1', attempt: 1 }], lapsed)
    expect(renewed).toMatchObject({ status: 'running', phase: 'running', attempt: 1 })
  })

  it('ends a lost job in agent_lost, or queues it again where its policy says so', () => {
    const events: JobEvent[] = [
      assign(),
      claim(),
      { type: 'lapsed', attempt: 1, reason: '' },
      { type: 'lost', attempt: 1 },
    ]
    expect(after(events)).toMatchObject({ status: 'error', error: { code: 'agent_lost' }, exit: { reason: 'lost' } })
    expect(after(events, fresh(RETRIES))).toMatchObject({
      status: 'starting',
      phase: 'queued',
      attempt: 1,
      failures: 1,
    })
  })

  it('refuses the late finish of an attempt that was given up', () => {
    const job = after(
      [assign(), claim(), { type: 'lapsed', attempt: 1, reason: '' }, { type: 'lost', attempt: 1 }],
      fresh(RETRIES),
    )
    expect(refusal(job, finish(EXITED))).toBe('stale_attempt')
    expect(refusal(after([assign(2)], job), finish(EXITED))).toBe('stale_attempt')
  })

  it('retries a failed exit until max_attempts', () => {
    const failed = (attempt: number): JobEvent[] => [
      assign(attempt),
      claim(attempt),
      finish({ ...EXITED, code: 1 }, { attempt, error: jobError('exit_nonzero') }),
    ]
    const job = after([...failed(1), ...failed(2)], fresh(RETRIES))
    expect(job).toMatchObject({ phase: 'queued', failures: 2 })
    expect(after(failed(3), job)).toMatchObject({ status: 'error', error: { code: 'exit_nonzero' }, attempt: 3 })
  })

  it('answers a repeated finish as a duplicate, also after a retry was queued', () => {
    expect(refusal(after([assign(), claim(), finish(EXITED)]), finish(EXITED))).toBe('duplicate')
    const failing = finish({ ...EXITED, code: 1 }, { error: jobError('exit_nonzero') })
    expect(refusal(after([assign(), claim(), failing], fresh(RETRIES)), failing)).toBe('duplicate')
  })

  it('cancels at once while queued or unclaimed', () => {
    for (const events of [[], [assign()]])
      expect(after([...events, { type: 'cancel_requested', graceSeconds: 5 }])).toMatchObject({
        status: 'cancelled',
        attempt: 0,
      })
  })

  it('sets a flag while claimed; an end by our kill is cancelled and is not retried, another end is what it is', () => {
    const job = after([assign(), claim(), { type: 'cancel_requested', graceSeconds: 5 }], fresh(RETRIES))
    expect(job).toMatchObject({ status: 'starting', cancel: { grace_seconds: 5 } })
    expect(after([finish(CANCELLED)], job).status).toBe('cancelled')
    expect(after([finish(EXITED)], job).status).toBe('completed')
    expect(after([finish({ ...EXITED, code: 1 }, { error: jobError('exit_nonzero') })], job)).toMatchObject({
      status: 'error',
      failures: 0,
    })
  })

  it('lets a second cancel only shorten the grace', () => {
    const job = after([assign(), claim(), { type: 'cancel_requested', graceSeconds: 5 }])
    expect(refusal(job, { type: 'cancel_requested', graceSeconds: 9 })).toBe('duplicate')
    expect(after([{ type: 'cancel_requested', graceSeconds: 0 }], job).cancel).toEqual({ grace_seconds: 0 })
  })

  it('never calls an end cancelled that nobody asked for', () => {
    expect(after([assign(), claim(), finish(CANCELLED)])).toMatchObject({
      status: 'error',
      error: { code: 'internal' },
    })
  })

  it('takes the cancelled of a container as cancelled', () => {
    expect(after([assign(), claim(), finish({ ...EXITED, reason: 'container' })]).status).toBe('cancelled')
  })

  it('expires only from the queue', () => {
    expect(after([{ type: 'expired' }])).toMatchObject({ status: 'error', error: { code: 'expired' } })
    expect(refusal(after([assign()]), { type: 'expired' })).toBe('wrong_phase')
  })
})

const agents = fc.constantFrom('a1', 'a2')
const sessions = fc.constantFrom('s1', 's2')
const attempts = fc.integer({ min: 1, max: 4 })
const exits = fc.constantFrom<Exit>(EXITED, CANCELLED, { ...EXITED, code: 3 }, { ...EXITED, reason: 'container' })
const event: fc.Arbitrary<JobEvent> = fc.oneof(
  fc.record({ type: fc.constant('assigned' as const), agent: agents, attempt: attempts, gpus: fc.constant([]) }),
  fc.record({ type: fc.constant('unassigned' as const), attempt: attempts, reason: fc.constant('') }),
  fc.record({
    type: fc.constant('claimed' as const),
    agent: agents,
    session: sessions,
    attempt: attempts,
    beat: fc.nat(9),
    adopt: fc.boolean(),
  }),
  fc.record({
    type: fc.constant('reported' as const),
    agent: agents,
    session: sessions,
    attempt: attempts,
    phase: fc.constantFrom('pulling' as const, 'creating' as const, 'running' as const),
  }),
  fc.record({ type: fc.constant('lapsed' as const), attempt: attempts, reason: fc.constant('') }),
  fc.record({ type: fc.constant('renewed' as const), agent: agents, session: sessions, attempt: attempts }),
  fc.record({ type: fc.constant('cancel_requested' as const), graceSeconds: fc.nat(9) }),
  fc.record({
    type: fc.constant('finished' as const),
    agent: agents,
    session: sessions,
    attempt: attempts,
    exit: exits,
    result: fc.constant(undefined),
    error: fc.constantFrom(null, jobError('exit_nonzero')),
    updates: fc.nat(9),
  }),
  fc.constant({ type: 'expired' as const }),
  fc.record({ type: fc.constant('lost' as const), attempt: attempts }),
  fc.record({ type: fc.constant('unsatisfiable' as const), why: fc.constant('') }),
)

describe('transition() for any sequence of events', () => {
  it('never leaves a terminal state, counts rev up by one, never lowers the attempt, keeps status and phase consistent', () => {
    fc.assert(
      fc.property(fc.constantFrom(NO_RETRIES, RETRIES), fc.array(event, { maxLength: 60 }), (retries, events) => {
        let job = fresh(retries)
        for (const one of events) {
          const next = transition(job, one)
          if (!next.ok) continue
          expect(isTerminal(job.status)).toBe(false)
          expect(next.job.rev).toBe(job.rev + 1)
          expect(next.job.attempt).toBeGreaterThanOrEqual(job.attempt)
          expect(next.job.failures).toBeLessThan(retries.max_attempts)
          expect(isTerminal(next.job.status)).toBe(next.job.phase === 'finished')
          expect(next.job.assignment === null).toBe(next.job.phase === 'queued' || next.job.phase === 'finished')
          expect(next.job.status === 'error').toBe(next.job.error !== null)
          expect(next.job.exit !== null).toBe(isTerminal(next.job.status))
          job = next.job
        }
      }),
      { numRuns: 3000 },
    )
  })

  it('lets at most one attempt finish a job, and only the one that holds it', () => {
    fc.assert(
      fc.property(fc.array(event, { maxLength: 60 }), (events) => {
        let job = fresh(RETRIES)
        for (const one of events) {
          const holder = job.assignment
          const next = transition(job, one)
          if (next.ok && one.type === 'finished') {
            expect(holder).toMatchObject({ agent: one.agent, attempt: one.attempt, session: one.session })
          }
          if (next.ok) job = next.job
        }
      }),
      { numRuns: 3000 },
    )
  })
})
