// Portable: Web APIs only.
//
// The life of a job as one pure function: `transition(job, event)` gives the next state or a typed refusal. It reads no
// clock, does no I/O and never throws; the store applies its answer by compare-and-set on `rev`.
//
//   starting.queued    entered at submit, by `unassigned`, or again for a retry; left by assigned, cancel, expired
//   starting.assigned  an agent was chosen; the row is the pending message; left by claimed, unassigned, cancel
//   starting.pulling,  the agent holds it; entered by claimed and reported; left by reported, lapsed, finished
//     .creating, running.running
//   running.reconnecting  its agent is silent; left by renewed (back to where it was), finished, lost
//   finished           completed | error | cancelled; nothing leaves it
//
// `cancel` is a flag beside the phase, never a status of its own.
import { jobError, type ErrorCode, type JobError } from './errors.ts'
import {
  isTerminal,
  type Assignment,
  type Exit,
  type JobState,
  type Phase,
  type RetryPolicy,
  type Status,
} from './job.ts'

export type JobEvent =
  | { readonly type: 'assigned'; readonly agent: string; readonly attempt: number; readonly gpus: readonly string[] }
  | { readonly type: 'unassigned'; readonly attempt: number; readonly reason: string }
  | {
      readonly type: 'claimed'
      readonly agent: string
      readonly session: string
      readonly attempt: number
      readonly beat: number
      readonly adopt: boolean
    }
  | {
      readonly type: 'reported'
      readonly agent: string
      readonly session: string
      readonly attempt: number
      readonly phase: 'pulling' | 'creating' | 'running'
    }
  | { readonly type: 'lapsed'; readonly attempt: number; readonly reason: string }
  | { readonly type: 'renewed'; readonly agent: string; readonly session: string; readonly attempt: number }
  | { readonly type: 'cancel_requested'; readonly graceSeconds: number }
  | {
      readonly type: 'finished'
      readonly agent: string
      readonly session: string
      readonly attempt: number
      readonly exit: Exit
      readonly result: unknown
      readonly error: JobError | null
      readonly updates: number
    }
  | { readonly type: 'expired' }
  | { readonly type: 'lost'; readonly attempt: number }
  | { readonly type: 'unsatisfiable'; readonly why: string }
  /** A backup became the database: `skipped` attempt numbers may have been used after it was made. */
  | { readonly type: 'restored'; readonly skipped: number }

export type Refusal =
  | 'terminal'
  | 'duplicate'
  | 'stale_attempt'
  | 'superseded'
  | 'wrong_agent'
  | 'wrong_phase'
  | 'attempt_not_next'

export type TransitionResult =
  | { readonly ok: true; readonly job: JobState }
  | { readonly ok: false; readonly refusal: Refusal }

const refuse = (refusal: Refusal): TransitionResult => ({ ok: false, refusal })

function move(job: JobState, change: Partial<JobState>): TransitionResult {
  return { ok: true, job: { ...job, ...change, rev: job.rev + 1 } }
}

const STARTING: Record<Assignment['heldPhase'], Status> = {
  pulling: 'starting',
  creating: 'starting',
  running: 'running',
}
const ORDER: readonly Phase[] = ['pulling', 'creating', 'running']

/** The next state of `job` after `event`, or why there is none. Pure and total. */
export function transition(job: JobState, event: JobEvent): TransitionResult {
  if (isTerminal(job.status)) return refuse(isRepeatedFinish(job, event) ? 'duplicate' : 'terminal')
  switch (event.type) {
    case 'assigned':
      return assigned(job, event)
    case 'unassigned':
      return unassigned(job, event.attempt)
    case 'claimed':
      return claimed(job, event)
    case 'reported':
      return reported(job, event)
    case 'lapsed':
      return lapsed(job, event.attempt)
    case 'renewed':
      return renewed(job, event)
    case 'cancel_requested':
      return cancelRequested(job, event.graceSeconds)
    case 'finished':
      return finished(job, event)
    case 'expired':
      if (job.phase !== 'queued') return refuse('wrong_phase')
      return end(job, 'error', {
        error: jobError('expired', 'The job waited longer than its queue_ttl_seconds.'),
        exit: neverRan('lost'),
      })
    case 'unsatisfiable':
      if (job.phase !== 'queued') return refuse('wrong_phase')
      return end(job, 'error', { error: jobError('unsatisfiable', event.why), exit: neverRan('lost') })
    case 'lost':
      return lost(job, event.attempt)
    case 'restored':
      return restored(job, event.skipped)
  }
}

/** The attempt that an assignment must carry. */
export function nextAttempt(job: JobState): number {
  return job.attempt + 1
}

/** Whether an attempt that ended with `code` is followed by another one. */
export function willRetry(job: JobState, code: ErrorCode): boolean {
  return job.cancel === null && job.retries.on.includes(code) && job.failures + 1 < job.retries.max_attempts
}

/** A job at rest in the queue, as submit makes it. */
export function newJobState(tenant: string, id: string, retries: RetryPolicy): JobState {
  return {
    tenant,
    id,
    rev: 1,
    status: 'starting',
    phase: 'queued',
    attempt: 0,
    cancel: null,
    assignment: null,
    finishedBy: null,
    failures: 0,
    retries,
    result: undefined,
    error: null,
    exit: null,
  }
}

function isRepeatedFinish(job: JobState, event: JobEvent): boolean {
  return event.type === 'finished' && job.finishedBy?.agent === event.agent && job.finishedBy.attempt === event.attempt
}

type Of<T extends JobEvent['type']> = Extract<JobEvent, { type: T }>

function assigned(job: JobState, event: Of<'assigned'>): TransitionResult {
  if (job.phase !== 'queued') return refuse('wrong_phase')
  if (event.attempt !== nextAttempt(job)) return refuse('attempt_not_next')
  const assignment: Assignment = {
    agent: event.agent,
    attempt: event.attempt,
    gpus: event.gpus,
    session: null,
    claimBeat: 0,
    heldPhase: 'pulling',
  }
  return move(job, { phase: 'assigned', assignment })
}

function unassigned(job: JobState, attempt: number): TransitionResult {
  if (job.phase !== 'assigned') return refuse('wrong_phase')
  if (job.assignment?.attempt !== attempt) return refuse('stale_attempt')
  return move(job, { phase: 'queued', assignment: null })
}

function claimed(job: JobState, event: Of<'claimed'>): TransitionResult {
  const { assignment } = job
  if (assignment?.attempt !== event.attempt) return refuse('stale_attempt')
  if (assignment.agent !== event.agent) return refuse('wrong_agent')
  if (job.phase === 'assigned') {
    const begun = { ...assignment, session: event.session, claimBeat: event.beat }
    return move(job, { phase: 'pulling', attempt: event.attempt, assignment: begun })
  }
  if (assignment.session === event.session && job.phase !== 'reconnecting') return refuse('duplicate')
  // Another session of the same agent may only take over what it found on its machine.
  if (assignment.session !== event.session && !event.adopt) return refuse('superseded')
  return move(job, {
    ...back(assignment),
    assignment: { ...assignment, session: event.session, claimBeat: event.beat },
  })
}

/** Where a held job stands when its agent speaks: also the way back from reconnecting. */
function back(assignment: Assignment): { status: Status; phase: Phase } {
  return { status: STARTING[assignment.heldPhase], phase: assignment.heldPhase }
}

/** The refusal of an agent's word about an attempt that it does not hold, or the assignment that it holds. */
function held(job: JobState, event: { agent: string; session: string; attempt: number }): Refusal | Assignment {
  const { assignment } = job
  if (!assignment || assignment.attempt !== event.attempt) return 'stale_attempt'
  if (assignment.agent !== event.agent) return 'wrong_agent'
  if (assignment.session === null) return 'wrong_phase'
  if (assignment.session !== event.session) return 'superseded'
  return assignment
}

function reported(job: JobState, event: Of<'reported'>): TransitionResult {
  const assignment = held(job, event)
  if (typeof assignment === 'string') return refuse(assignment)
  // Forward only: a late beat never takes a job back.
  if (ORDER.indexOf(event.phase) <= ORDER.indexOf(assignment.heldPhase)) return refuse('duplicate')
  const next = { ...assignment, heldPhase: event.phase }
  return move(job, job.phase === 'reconnecting' ? { assignment: next } : { ...back(next), assignment: next })
}

function lapsed(job: JobState, attempt: number): TransitionResult {
  if (job.assignment?.attempt !== attempt) return refuse('stale_attempt')
  if (job.assignment.session === null) return refuse('wrong_phase')
  if (job.phase === 'reconnecting') return refuse('duplicate')
  return move(job, { status: 'running', phase: 'reconnecting' })
}

function renewed(job: JobState, event: Of<'renewed'>): TransitionResult {
  const assignment = held(job, event)
  if (typeof assignment === 'string') return refuse(assignment)
  if (job.phase !== 'reconnecting') return refuse('duplicate')
  return move(job, back(assignment))
}

function cancelRequested(job: JobState, graceSeconds: number): TransitionResult {
  if (!job.assignment || job.assignment.session === null)
    return end(job, 'cancelled', { exit: neverRan('cancelled'), cancel: { grace_seconds: graceSeconds } })
  // A second request may only shorten the grace.
  if (job.cancel && job.cancel.grace_seconds <= graceSeconds) return refuse('duplicate')
  return move(job, { cancel: { grace_seconds: graceSeconds } })
}

function finished(job: JobState, event: Of<'finished'>): TransitionResult {
  if (isRepeatedFinish(job, event)) return refuse('duplicate')
  const assignment = held(job, event)
  if (typeof assignment === 'string') return refuse(assignment)
  const finishedBy = { agent: event.agent, attempt: event.attempt }
  const { exit, error, result } = event
  if (exit.reason === 'container' || (job.cancel && exit.reason === 'cancelled'))
    return end(job, 'cancelled', { exit, finishedBy })
  if (error === null && exit.reason === 'exited')
    return end(job, 'completed', { exit, finishedBy, result: result ?? {} })
  const failure =
    error ?? jobError('internal', `The agent stopped the container (${exit.reason}) though nobody asked for it.`)
  return fail(job, failure, exit, finishedBy)
}

function lost(job: JobState, attempt: number): TransitionResult {
  if (job.phase !== 'reconnecting') return refuse('wrong_phase')
  if (job.assignment?.attempt !== attempt) return refuse('stale_attempt')
  const exit: Exit = { code: null, oom_killed: false, reason: job.cancel ? 'cancelled' : 'lost' }
  if (job.cancel) return end(job, 'cancelled', { exit })
  const { agent } = job.assignment
  return fail(job, jobError('agent_lost', `Agent "${agent}" went silent while it held attempt ${attempt}.`), exit, null)
}

/**
 * What was claimed goes on where its agent still holds it. What was only assigned may have been claimed since the backup,
 * so it waits again, for a number that nobody has used.
 */
function restored(job: JobState, skipped: number): TransitionResult {
  const attempt = job.attempt + skipped
  return move(job, job.phase === 'assigned' ? { phase: 'queued', assignment: null, attempt } : { attempt })
}

/** A failed attempt: queued again where the job's policy says so, else the end. */
function fail(job: JobState, error: JobError, exit: Exit, finishedBy: JobState['finishedBy']): TransitionResult {
  if (!willRetry(job, error.code)) return end(job, 'error', { error, exit, finishedBy })
  return move(job, { status: 'starting', phase: 'queued', assignment: null, finishedBy, failures: job.failures + 1 })
}

function end(job: JobState, status: 'completed' | 'error' | 'cancelled', outcome: Partial<JobState>): TransitionResult {
  return move(job, { status, phase: 'finished', assignment: null, finishedBy: null, ...outcome })
}

function neverRan(reason: 'cancelled' | 'lost'): Exit {
  return { code: null, oom_killed: false, reason }
}
