// Portable: Web APIs only.
//
// A job as its row tells it: the state that `transition` moves, and the shapes that leave over HTTP (PROTOCOL 2, 3).
import type { ErrorCode, JobError } from './errors.ts'
import type { JobSpec } from './job-spec.ts'

export const STATUSES = ['starting', 'running', 'completed', 'error', 'cancelled'] as const
export type Status = (typeof STATUSES)[number]

export const PHASES = ['queued', 'assigned', 'pulling', 'creating', 'running', 'reconnecting', 'finished'] as const
export type Phase = (typeof PHASES)[number]

/** What an agent reports of an attempt that it holds. `finished`: the container ended, its updates are still on their way. */
export const HELD_PHASES = ['pulling', 'creating', 'running', 'finished'] as const
export type HeldPhase = (typeof HELD_PHASES)[number]

export const EXIT_REASONS = [
  'exited',
  'container',
  'oom',
  'timeout',
  'cancelled',
  'output_limit',
  'gpu_memory',
  'lost',
] as const

/** How the container ended. `signal` only where we sent one; `code` null where no container ran. */
export interface Exit {
  readonly code: number | null
  readonly signal?: string | undefined
  readonly oom_killed: boolean
  readonly reason: (typeof EXIT_REASONS)[number]
}

export interface RetryPolicy {
  readonly max_attempts: number
  readonly on: readonly ErrorCode[]
  readonly backoff_seconds: number
  readonly exclusive: boolean
}

/** The place that a job holds on an agent, from its assignment to its end. `session` is null until the claim. */
export interface Assignment {
  readonly agent: string
  readonly attempt: number
  readonly gpus: readonly string[]
  readonly session: string | null
  /** The agent's beat counter at the claim: a later beat that does not list the attempt lapses it at once. */
  readonly claimBeat: number
  /** Last phase that the agent reported: where `renewed` goes back to. */
  readonly heldPhase: 'pulling' | 'creating' | 'running'
}

/** Who finished the last finished attempt: makes a repeated `finish` recognisable. */
export interface FinishedBy {
  readonly agent: string
  readonly attempt: number
}

/** What `transition` moves. No times: the store's clock stamps what happened. */
export interface JobState {
  readonly tenant: string
  readonly id: string
  readonly rev: number
  readonly status: Status
  readonly phase: Phase
  /** Last attempt that began (was claimed); 0 where none did. */
  readonly attempt: number
  readonly cancel: { readonly grace_seconds: number } | null
  readonly assignment: Assignment | null
  readonly finishedBy: FinishedBy | null
  /** Attempts that really failed: what max_attempts limits. */
  readonly failures: number
  readonly retries: RetryPolicy
  readonly result: unknown
  readonly error: JobError | null
  readonly exit: Exit | null
}

export function isTerminal(status: Status): boolean {
  return status === 'completed' || status === 'error' || status === 'cancelled'
}

/** The row of one attempt, written at its claim. Times are epoch ms. */
export interface AttemptRecord {
  readonly attempt: number
  readonly agent: string
  readonly session: string
  readonly gpus: readonly string[]
  readonly imageDigest: string | null
  readonly claimedAtMs: number
  readonly startedAtMs: number | null
  readonly finishedAtMs: number | null
  /** N, the number of its last update, once its agent said so. */
  readonly updates: number | null
  /** Where it was lost without a word of its end: the last update that its agent had told to be stored. */
  readonly told: number | null
  readonly exit: Exit | null
  readonly error: JobError | null
}

export interface TransitionRecord {
  readonly rev: number
  readonly atMs: number
  readonly event: string
  readonly status: Status
  readonly phase: Phase
  readonly reason?: string | undefined
}

/** A job with everything around it, as the store reads it. */
export interface JobRecord {
  readonly state: JobState
  readonly spec: JobSpec
  readonly retryOf: string | null
  readonly createdAtMs: number
  readonly startedAtMs: number | null
  readonly finishedAtMs: number | null
  readonly attempts: readonly AttemptRecord[]
  /** Attempts that their agents listed in their last beats, or claimed since: the relay waits for these to be published whole. */
  readonly heldAttempts: readonly number[]
  /** What is left of the lease of the agent that has the job; null where nobody has it, or an agent that was deleted. */
  readonly leaseLeftMs: number | null
}

/** Why a queued job waits (PROTOCOL 3, `queue`). */
export interface QueueView {
  readonly position: number
  readonly why: string
  readonly agents: readonly { readonly agent: string; readonly lacks: readonly string[] }[]
}

/** The HTTP shape of a job. */
export interface JobView {
  readonly id: string
  readonly name?: string | undefined
  readonly tenant: string
  readonly status: Status
  readonly phase: Phase
  readonly cancel_requested: boolean
  readonly attempt: number
  readonly created_at: string
  readonly started_at?: string | undefined
  readonly finished_at?: string | undefined
  readonly retry_of?: string | undefined
  readonly result?: unknown
  readonly error?: JobError | undefined
  readonly exit?: Exit | undefined
  readonly queue?: QueueView | undefined
  readonly attempts: readonly AttemptView[]
  readonly transitions: readonly TransitionView[]
  readonly labels: Readonly<Record<string, string>>
  readonly spec: unknown
}

export interface AttemptView {
  readonly attempt: number
  readonly agent: string
  readonly gpus: readonly string[]
  readonly image_digest?: string | undefined
  readonly claimed_at: string
  readonly started_at?: string | undefined
  readonly finished_at?: string | undefined
  readonly exit?: Exit | undefined
  readonly error?: JobError | undefined
}

export interface TransitionView {
  readonly rev: number
  readonly at: string
  readonly event: string
  readonly status: Status
  readonly phase: Phase
  readonly reason?: string | undefined
}
