// The tables of the simulated database, as control-plane/store keeps them, and how records are read out of them. Rows
// are objects that only the store's own files change; what leaves the store is made anew or never changes.
import type {
  AgentRecord,
  Change,
  JobKey,
  JoinTokenRecord,
  KeyRecord,
  QueuedJob,
} from '../../control-plane/core/ports.ts'
import type { HeldAttempt } from '../../shared/agent-protocol.ts'
import type { JobSpec } from '../../shared/job-spec.ts'
import type { AttemptRecord, JobRecord, JobState, TransitionRecord } from '../../shared/job.ts'

export interface AttemptRow {
  record: AttemptRecord
  claimBeat: number
}

export interface JobRow {
  state: JobState
  readonly spec: JobSpec
  /** What of it the scheduler reads. */
  readonly shape: JobSpec
  readonly retryOf: string | null
  readonly createdAtMs: number
  startedAtMs: number | null
  finishedAtMs: number | null
  phaseSinceMs: number
  queuedAtMs: number
  notBeforeMs: number
  lapsedAtMs: number | null
  readonly attempts: Map<number, AttemptRow>
  readonly transitions: TransitionRecord[]
}

export interface AgentRow {
  record: Omit<AgentRecord, 'leaseExpired'>
  keyHash: string
  /** Its process said that it is about to end. */
  leaving: boolean
  leaseMs: number
  leaseUntilMs: number
  /** When a beat ended its last silence: for the checkers. */
  heardSinceMs: number
  readonly sessions: Set<string>
}

export interface SweepRow {
  atMs: number
  previousAtMs: number
  watchingSinceMs: number
}

export interface Tables {
  readonly jobs: Map<string, JobRow>
  readonly idempotency: Map<string, { readonly bodyHash: string; readonly job: string; atMs: number }>
  readonly agents: Map<string, AgentRow>
  readonly keys: Map<string, { readonly record: KeyRecord; readonly hash: string }>
  readonly joinTokens: Map<string, JoinTokenRecord>
  readonly sweep: SweepRow
  schedulerRev: number
}

/** What every function of the store gets. */
export interface StoreContext {
  readonly tables: Tables
  /** The database's clock. */
  readonly now: () => number
  /** Only for a planted bug: nothing is compared, nothing is refused. */
  readonly isLax: boolean
  readonly onChange: (row: JobRow, change: Change, transition: TransitionRecord) => void
}

export function emptyTables(): Tables {
  return {
    jobs: new Map(),
    idempotency: new Map(),
    agents: new Map(),
    keys: new Map(),
    joinTokens: new Map(),
    sweep: { atMs: 0, previousAtMs: 0, watchingSinceMs: 0 },
    schedulerRev: 0,
  }
}

export function jobKey(tenant: string, job: string): string {
  return `${tenant}/${job}`
}

export function rowOf({ tables }: StoreContext, { tenant, job }: JobKey): JobRow | undefined {
  return tables.jobs.get(jobKey(tenant, job))
}

export function recordOf(context: StoreContext, row: JobRow): JobRecord {
  const { tables, now } = context
  const agent = tables.agents.get(row.state.assignment?.agent ?? '')
  const attempts = [...row.attempts.values()].map(({ record }) => record)
  return {
    state: row.state,
    spec: row.spec,
    retryOf: row.retryOf,
    createdAtMs: row.createdAtMs,
    startedAtMs: row.startedAtMs,
    finishedAtMs: row.finishedAtMs,
    attempts: attempts.length > 1 ? attempts.toSorted((a, b) => a.attempt - b.attempt) : attempts,
    heldAttempts: heldAttempts(context, row),
    leaseLeftMs: agent ? Math.max(0, agent.leaseUntilMs - now()) : null,
  }
}

/** Listed by its agent's last beat, or claimed since; an agent that was silent for too long holds nothing. */
function heldAttempts({ tables, now }: StoreContext, row: JobRow): number[] {
  const held: number[] = []
  for (const { record, claimBeat } of row.attempts.values()) {
    const agent = tables.agents.get(record.agent)
    if (!agent) continue
    const hasToldEnd = record.updates !== null && record.attempt === row.state.attempt
    const heardMs = Math.max(agent.leaseUntilMs, hasToldEnd ? row.phaseSinceMs + agent.leaseMs : 0)
    if (heardMs + row.spec.lost_after_seconds * 1000 <= now()) continue
    if (isHeld(agent, row, { record, claimBeat })) held.push(record.attempt)
  }
  return held.toSorted((a, b) => a - b)
}

function isHeld({ record: agent }: AgentRow, { state }: JobRow, { record, claimBeat }: AttemptRow): boolean {
  const since = agent.session === record.session && agent.beat <= claimBeat
  return agent.session === '' || since || agent.held.some((one) => isAttempt(one, state, record.attempt))
}

/** A retry waits while its last attempt, which has ended, is still being published. */
export function isStillPublishing({ tables, now }: StoreContext, row: JobRow): boolean {
  const last = row.attempts.get(row.state.attempt)
  const agent = last && tables.agents.get(last.record.agent)
  if (!last || !agent || last.record.updates === null) return false
  if (Math.max(agent.leaseUntilMs, row.queuedAtMs) + agent.leaseMs <= now()) return false
  return row.queuedAtMs + row.spec.lost_after_seconds * 1000 > now() && isHeld(agent, row, last)
}

export function isAttempt(held: HeldAttempt, { tenant, id }: JobState, attempt: number): boolean {
  return held.attempt === attempt && held.job === id && held.tenant === tenant
}

export function agentOf({ now }: StoreContext, row: AgentRow): AgentRecord {
  const { record, leaving } = row
  return { ...record, draining: record.draining || leaving, leaseExpired: row.leaseUntilMs <= now() }
}

export function shapeOf({ state, shape, createdAtMs }: JobRow): QueuedJob {
  return { state, spec: shape, createdAtMs }
}

/** What of a spec the scheduler reads. */
export function shapeIn(spec: JobSpec): JobSpec {
  const { request, stdin: _stdin, env: _env, command: _command, entrypoint: _entrypoint, ...shape } = spec
  return { ...shape, env: {}, ...(request ? { request: { resource_limits: request.resource_limits } } : {}) }
}

const PRIORITY = { high: 0, normal: 1, low: 2 } as const

/** Priority, then age, then id. */
export function compareRows(a: JobRow, b: JobRow): number {
  return PRIORITY[a.spec.priority] - PRIORITY[b.spec.priority] || compareAge(a, b)
}

export function compareAge(a: JobRow, b: JobRow): number {
  return a.createdAtMs - b.createdAtMs || (a.state.id < b.state.id ? -1 : Number(a.state.id > b.state.id))
}
