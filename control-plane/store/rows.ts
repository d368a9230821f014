// Portable: Web APIs only.
//
// Rows become records, and nothing else: the one place that knows which columns hold JSON.
import type { Capacity, HeldAttempt, Posture } from '../../shared/agent-protocol.ts'
import type { JobSpec } from '../../shared/job-spec.ts'
import type { AttemptRecord, JobRecord, JobState, TransitionRecord } from '../../shared/job.ts'
import type { AgentRecord, KeyRecord, QueuedJob } from '../core/ports.ts'
import type { Row } from './db.ts'
import type { agents, apiKeys, jobs, transitions } from './schema.ts'

export type JobRow = typeof jobs.$inferSelect
type AgentRow = typeof agents.$inferSelect

function parse(text: string | null): unknown {
  return text === null ? null : JSON.parse(text)
}

type StateRow = Pick<
  JobRow,
  | 'tenant'
  | 'id'
  | 'rev'
  | 'status'
  | 'phase'
  | 'attempt'
  | 'failures'
  | 'retries'
  | 'cancel'
  | 'assignment'
  | 'finished_by'
  | 'result'
  | 'error'
  | 'exit'
>

function stateOf(row: StateRow): JobState {
  return {
    tenant: row.tenant,
    id: row.id,
    rev: row.rev,
    status: row.status,
    phase: row.phase,
    attempt: row.attempt,
    cancel: parse(row.cancel) as JobState['cancel'],
    assignment: parse(row.assignment) as JobState['assignment'],
    finishedBy: parse(row.finished_by) as JobState['finishedBy'],
    failures: row.failures,
    retries: parse(row.retries) as JobState['retries'],
    result: row.result === null ? undefined : parse(row.result),
    error: parse(row.error) as JobState['error'],
    exit: parse(row.exit) as JobState['exit'],
  }
}

/** Of a row that `selectRecords` made. */
export function recordOf(row: Row): JobRecord {
  const job = row as unknown as JobRow & { attempts: string; held_attempts: string; lease_left: number | null }
  return {
    state: stateOf(job),
    spec: parse(job.spec) as JobSpec,
    retryOf: job.retry_of,
    createdAtMs: job.created_at,
    startedAtMs: job.started_at,
    finishedAtMs: job.finished_at,
    attempts: (parse(job.attempts) as AttemptRecord[]).toSorted((a, b) => a.attempt - b.attempt),
    heldAttempts: (parse(job.held_attempts) as number[]).toSorted((a, b) => a - b),
    leaseLeftMs: job.lease_left,
  }
}

/** Of a row that `selectShapes` made: its spec holds only what scheduling looks at. */
export function queuedJobOf(row: Row): QueuedJob {
  const job = row as unknown as JobRow
  return { state: stateOf(job), spec: parse(job.shape) as JobSpec, createdAtMs: job.created_at }
}

/** The spec without what only the container needs, which may be megabytes. */
export function shapeOf(spec: JobSpec): unknown {
  const { request, stdin: _stdin, env: _env, command: _command, entrypoint: _entrypoint, ...shape } = spec
  return { ...shape, env: {}, ...(request ? { request: { resource_limits: request.resource_limits } } : {}) }
}

/** Of a row with `agentColumns`. */
export function agentOf(row: Row): AgentRecord {
  const agent = row as unknown as AgentRow & { lease_expired: number }
  return {
    id: agent.id,
    name: agent.name,
    pool: agent.pool,
    labels: parse(agent.labels) as Record<string, string>,
    nkey: agent.nkey,
    version: agent.version,
    protocol: agent.protocol,
    capacity: parse(agent.capacity) as Capacity,
    posture: parse(agent.posture) as Posture,
    cordoned: agent.cordoned !== 0,
    draining: agent.draining !== 0 || agent.leaving !== 0,
    leaseExpired: agent.lease_expired !== 0,
    bootId: agent.boot_id,
    session: agent.session,
    beat: agent.beat,
    held: parse(agent.held) as HeldAttempt[],
    lastSeenAtMs: agent.last_seen_at,
    joinedAtMs: agent.joined_at,
  }
}

export function transitionOf(row: Row): TransitionRecord {
  const made = row as unknown as typeof transitions.$inferSelect
  const { rev, at, event, status, phase, reason } = made
  return { rev, atMs: at, event, status, phase, ...(reason === null ? {} : { reason }) }
}

export function keyOf(row: Row): KeyRecord {
  const key = row as unknown as typeof apiKeys.$inferSelect
  return {
    id: key.id,
    tenant: key.tenant,
    role: key.role,
    name: key.name,
    createdAtMs: key.created_at,
    expiresAtMs: key.expires_at,
  }
}
