// Portable: Web APIs only.
//
// The ports of the control plane but the bus (bus-port.ts): the smallest interfaces that the core needs, in its own words,
// with what each guarantees. Adapters live in store/, bus/ and entry/; every adapter of a port passes the suite in
// test/contract/.
import type { Capacity, HeldAttempt, Posture } from '../../shared/agent-protocol.ts'
import type { JobEvent } from '../../shared/job-machine.ts'
import type { Exit, JobRecord, JobState, Status, TransitionRecord } from '../../shared/job.ts'
import type { JobSpec } from '../../shared/job-spec.ts'
import type { JobError } from '../../shared/errors.ts'

export interface JobKey {
  readonly tenant: string
  readonly job: string
}

/** One step of one job: what `transition` made of it, applied only if the row still is `before`. */
export interface Change {
  readonly before: JobState
  readonly after: JobState
  readonly event: JobEvent
  readonly reason?: string | undefined
  /** Facts of the attempt's row that the event brought; claimed inserts the row, finished fills it. */
  readonly attempt?: AttemptFacts | undefined
  /** Extra guards, checked by the database's clock inside the same batch. */
  readonly guard?: Guard | undefined
  /** A retry waits this long before it may be assigned again. */
  readonly notBeforeMs?: number | undefined
}

export interface AttemptFacts {
  readonly attempt: number
  readonly imageDigest?: string | null | undefined
  readonly startedAtMs?: number | null | undefined
  readonly finishedAtMs?: number | null | undefined
  readonly updates?: number | undefined
  readonly exit?: Exit | undefined
  readonly error?: JobError | null | undefined
}

export type Guard =
  /** The agent's lease has run out. */
  | { readonly kind: 'lease_expired'; readonly agent: string }
  /** `session` is the agent's current one. */
  | { readonly kind: 'session'; readonly agent: string; readonly session: string }
  /** Nothing changed the schedule since `rev` was read; bumps it. */
  | { readonly kind: 'scheduler'; readonly rev: number }

export interface NewJob {
  readonly state: JobState
  readonly spec: JobSpec
  readonly retryOf: string | null
  readonly idempotency: { readonly key: string; readonly bodyHash: string } | null
}

export type CreateResult =
  | { readonly kind: 'created'; readonly record: JobRecord }
  /** The idempotency key names this job, with the same body. */
  | { readonly kind: 'existing'; readonly record: JobRecord }
  | { readonly kind: 'mismatch' }
  /** The id is taken within the tenant. */
  | { readonly kind: 'taken' }

export interface JobFilter {
  readonly tenant: string
  readonly statuses: readonly Status[]
  readonly label: { readonly key: string; readonly value: string } | null
  readonly pool: string | null
  readonly limit: number
  /** Opaque, from the page before. */
  readonly cursor: string | null
}

export interface Page<T> {
  readonly items: readonly T[]
  readonly cursor: string | null
}

export interface AgentRecord {
  readonly id: string
  readonly name: string
  readonly pool: string
  readonly labels: Readonly<Record<string, string>>
  readonly nkey: string
  readonly version: string
  readonly protocol: number
  readonly capacity: Capacity
  readonly posture: Posture
  readonly cordoned: boolean
  readonly draining: boolean
  /** Lease by the database's clock: whether it ran out when this record was read. */
  readonly leaseExpired: boolean
  readonly bootId: string
  readonly session: string | null
  readonly beat: number
  readonly held: readonly HeldAttempt[]
  readonly lastSeenAtMs: number | null
  readonly joinedAtMs: number
}

export interface NewAgent {
  readonly id: string
  readonly name: string
  readonly pool: string
  readonly labels: Readonly<Record<string, string>>
  readonly nkey: string
  readonly keyHash: string
  readonly version: string
  readonly protocol: number
  readonly capacity: Capacity
  readonly posture: Posture
  readonly bootId: string
  readonly session: string
}

export type Role = 'admin' | 'tenant'

export interface KeyRecord {
  readonly id: string
  readonly tenant: string
  readonly role: Role
  readonly name: string | null
  readonly createdAtMs: number
  readonly expiresAtMs: number | null
}

export interface JoinTokenRecord {
  readonly id: string
  readonly pool: string | null
  readonly createdAtMs: number
  readonly expiresAtMs: number | null
}

export interface Beat {
  /** By the hash of its key where this batch is to check that. */
  readonly agent: { readonly id: string } | { readonly keyHash: string }
  readonly session: string
  readonly beat: number
  readonly bootId: string
  readonly held: readonly HeldAttempt[]
  readonly capacity?: Capacity | undefined
  readonly posture?: Posture | undefined
  /** Its process is about to end: no new work. */
  readonly leaving: boolean
  readonly leaseMs: number
}

export type BeatResult =
  | { readonly kind: 'superseded' }
  | { readonly kind: 'gone' }
  /** `jobs`: every live job whose assignment names this agent, and those of `held` that do not (fenced or ended). */
  | { readonly kind: 'ok'; readonly agent: AgentRecord; readonly jobs: readonly JobRecord[]; readonly changed: boolean }

/** A waiting job as the scheduler sees it. */
export interface QueuedJob {
  readonly state: JobState
  readonly spec: JobSpec
  readonly createdAtMs: number
}

/** One consistent read of everything that `plan` looks at. */
export interface ScheduleView {
  readonly schedulerRev: number
  /** Queued jobs that may be assigned now (back-off over), priority then age; at most `limit` of each pool with agents. */
  readonly queued: readonly QueuedJob[]
  readonly agents: readonly AgentRecord[]
  /** Live jobs with an assignment: what capacity is taken. */
  readonly placed: readonly QueuedJob[]
}

/** What a sweep has to look at; times by the database's clock. */
export interface SweepView {
  /** The last sweep is older than `termMs` or in the future: nobody watched, so nothing may be judged. */
  readonly blind: boolean
  readonly unclaimed: readonly { readonly record: JobRecord; readonly waitedMs: number }[]
  /** Claimed, not yet reconnecting, and their agent's lease ran out. */
  readonly lapsed: readonly JobRecord[]
  readonly reconnecting: readonly { readonly record: JobRecord; readonly silentMs: number }[]
  /** Queued longer than their queue_ttl_seconds. */
  readonly expired: readonly JobRecord[]
  readonly queuedCount: number
}

export interface Metrics {
  readonly jobsByPhase: Readonly<Record<string, number>>
  readonly agentsByState: Readonly<Record<string, number>>
  readonly oldestUnclaimedMs: number
  /** Which life of the database it is: a restore begins the next. */
  readonly databaseIncarnation: number
  /** How often the stream of updates was found wiped or put back. */
  readonly updatesStreamChanges: number
}

/**
 * libSQL, the truth. Every method is one batch or one read; each throws AppError `unavailable` when the database cannot
 * be reached, after which nothing or everything of the batch happened (the caller asks again; all writes are guarded).
 */
export interface JobStore {
  /** Atomic: job and idempotency key together, or nothing. */
  createJob(job: NewJob): Promise<CreateResult>
  readJob(key: JobKey): Promise<JobRecord | null>
  readTransitions(key: JobKey): Promise<readonly TransitionRecord[]>
  listJobs(filter: JobFilter): Promise<Page<JobRecord>>
  /** Position of a queued job in its pool's queue, from 1. */
  queuePosition(record: JobRecord): Promise<number>
  /** Compare-and-set: true if this change won, false if the row or a guard said otherwise. Nothing in between. */
  commit(change: Change): Promise<boolean>
  /** Assignments of one plan: each alone may lose, but none is applied once the scheduler's rev moved. Returns the winners. */
  commitPlan(schedulerRev: number, changes: readonly Change[]): Promise<readonly Change[]>

  readScheduleView(limit: number): Promise<ScheduleView>
  /** Writes the sweep's time. When blind, also gives every lease a fresh term, in the same batch. */
  beginSweep(options: { readonly termMs: number; readonly limit: number }): Promise<SweepView>

  /** Joining again with the same nkey replaces key, name, pool, labels and session: the same agent id. */
  joinAgent(agent: NewAgent, joinTokenHash: string): Promise<AgentRecord | 'bad_token'>
  /** A session seen first becomes the current one, unless it began before that; an older one: superseded. Renews the lease. */
  recordBeat(beat: Beat): Promise<BeatResult>
  /** Whose key it is, and the job that the call is about, in one read. */
  agentAndJob(keyHash: string, job: JobKey | null): Promise<readonly [AgentRecord | null, JobRecord | null]>
  readAgent(id: string): Promise<AgentRecord | null>
  listAgents(page: { readonly limit: number; readonly cursor: string | null }): Promise<Page<AgentRecord>>
  /** Live jobs placed on one agent. */
  jobsOnAgent(agent: string): Promise<readonly JobRecord[]>
  setAgentFlags(
    id: string,
    flags: { readonly cordoned?: boolean; readonly draining?: boolean },
  ): Promise<AgentRecord | null>
  /** Clean goodbye: the lease ends now. False when `session` is not the current one. */
  leaveAgent(id: string, session: string): Promise<boolean>
  deleteAgent(id: string): Promise<boolean>

  keyByHash(hash: string): Promise<KeyRecord | null>
  createKey(key: KeyRecord, hash: string): Promise<void>
  listKeys(tenant: string | null): Promise<readonly KeyRecord[]>
  deleteKey(id: string): Promise<boolean>
  /** True once, on an empty database: the caller makes the first admin key. */
  hasKeys(): Promise<boolean>
  createJoinToken(token: JoinTokenRecord, hash: string): Promise<void>

  metrics(): Promise<Metrics>
  /** Throws when the database does not answer. */
  ping(): Promise<void>
  close(): Promise<void>
}

/** Timers and the wall clock. The wall clock only stamps what people read; decisions use the database's clock. */
export interface Clock {
  nowMs(): number
  /** Calls back after `ms`, unless the returned function was called. */
  after(ms: number, callback: () => void): () => void
}

/** Structured lines; never a secret. */
export interface Log {
  info(message: string, fields?: Readonly<Record<string, unknown>>): void
  warn(message: string, fields?: Readonly<Record<string, unknown>>): void
  error(message: string, fields?: Readonly<Record<string, unknown>>): void
}
