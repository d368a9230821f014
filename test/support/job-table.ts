// Rows of jobs in memory, behind the part of the store's port that the relay reads, for tests in which the row has to
// change at an exact moment. Each change sends the hint that the core would send.

import type { Bus } from '../../control-plane/core/bus-port.ts'
import type { JobStore } from '../../control-plane/core/ports.ts'
import { AppError } from '../../shared/errors.ts'
import { submitBodySchema } from '../../shared/job-spec.ts'
import { newJobState } from '../../shared/job-machine.ts'
import type { AttemptRecord, Exit, JobRecord, JobState, Phase, Status } from '../../shared/job.ts'

export interface JobTable extends Pick<JobStore, 'readJob'> {
  queue(job: string): void
  /** The next attempt begins on `agent`. */
  claim(job: string, agent: string): void
  phase(job: string, status: Status, phase: Phase, options?: { held?: boolean }): void
  /** The attempt is over without an end of its own, and the job waits for the next one. */
  requeue(job: string, options?: { held?: boolean }): void
  /** The agent's `finish`: N updates, which it still holds or not. */
  finish(job: string, options: { updates: number; held?: boolean }): void
  /** An end that no agent told. */
  end(job: string, status: 'error' | 'cancelled'): void
  /** What is left of the lease of the agent that has the job; else it is long enough for any test. */
  lease(job: string, leftMs: number): void
  /** Hints get lost and the database does not answer, until the function that this returns is called. It sends no hint. */
  cutOff(): () => void
}

const EXITED: Exit = { code: 0, oom_killed: false, reason: 'exited' }

export function jobTable(bus: Pick<Bus, 'publishHint'>): JobTable {
  const rows = new Map<string, JobRecord>()
  let isCutOff = false
  const put = (job: string, state: Partial<JobState>, record: Partial<JobRecord> = {}): void => {
    const before = rows.get(job) ?? newRecord(job)
    rows.set(job, { ...before, ...record, state: { ...before.state, ...state, rev: before.state.rev + 1 } })
    if (!isCutOff) bus.publishHint({ tenant: 't', job })
  }
  const row = (job: string): JobRecord => rows.get(job) ?? newRecord(job)
  const heldOf = (job: string, held = false): Partial<JobRecord> => ({
    heldAttempts: held ? [...new Set([...row(job).heldAttempts, row(job).state.attempt])] : [],
  })
  return {
    async readJob({ job }) {
      if (isCutOff) throw new AppError('unavailable', 'The database is away.')
      return rows.get(job) ?? null
    },
    queue: (job) => put(job, {}),
    claim(job, agent) {
      const attempt = row(job).state.attempt + 1
      const assignment = { agent, attempt, gpus: [], session: 'ses_1', claimBeat: 1, heldPhase: 'pulling' as const }
      const attempts = [...row(job).attempts, newAttempt(attempt, agent)]
      put(job, { status: 'starting', phase: 'pulling', attempt, assignment }, { attempts })
    },
    phase: (job, status, phase, options = {}) => put(job, { status, phase }, heldOf(job, options.held)),
    requeue: (job, options = {}) =>
      put(job, { status: 'starting', phase: 'queued', assignment: null }, heldOf(job, options.held)),
    finish(job, { updates, held }) {
      const { attempt } = row(job).state
      const attempts = row(job).attempts.map((entry) => (entry.attempt === attempt ? { ...entry, updates } : entry))
      const ended = { status: 'completed', phase: 'finished', assignment: null, exit: EXITED, result: {} } as const
      put(job, ended, { attempts, finishedAtMs: Date.now(), ...heldOf(job, held) })
    },
    end: (job, status) =>
      put(job, { status, phase: 'finished', assignment: null }, { finishedAtMs: Date.now(), heldAttempts: [] }),
    lease: (job, leaseLeftMs) => put(job, {}, { leaseLeftMs }),
    cutOff() {
      isCutOff = true
      return () => {
        isCutOff = false
      }
    },
  }
}

function newRecord(job: string): JobRecord {
  return {
    state: newJobState('t', job, { max_attempts: 2, on: ['agent_lost'], backoff_seconds: 0, exclusive: false }),
    spec: submitBodySchema.parse({ image: 'busybox' }),
    retryOf: null,
    createdAtMs: Date.now(),
    startedAtMs: null,
    finishedAtMs: null,
    attempts: [],
    heldAttempts: [],
    leaseLeftMs: 60_000,
  }
}

function newAttempt(attempt: number, agent: string): AttemptRecord {
  return {
    attempt,
    agent,
    session: 'ses_1',
    gpus: [],
    imageDigest: null,
    claimedAtMs: Date.now(),
    startedAtMs: null,
    finishedAtMs: null,
    updates: null,
    told: null,
    exit: null,
    error: null,
  }
}
