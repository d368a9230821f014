// The simulated database: submit, compare-and-set, plans, and the reads of jobs. Each function is one batch: it happens
// whole, at one moment. What the triggers of the real one refuse is refused here too.
import type {
  AgentRecord,
  Change,
  CreateResult,
  Guard,
  JobFilter,
  NewJob,
  Page,
  ScheduleView,
} from '../../control-plane/core/ports.ts'
import { readCursor, writeCursor } from '../../control-plane/store/cursor.ts'
import { AppError } from '../../shared/errors.ts'
import { isTerminal, type JobRecord, type JobState, type TransitionRecord } from '../../shared/job.ts'
import {
  agentOf,
  type AgentRow,
  compareAge,
  compareRows,
  isAttempt,
  isStillPublishing,
  jobKey,
  recordOf,
  rowOf,
  shapeIn,
  shapeOf,
  type JobRow,
  type StoreContext,
} from './store-tables.ts'

const KEEP_IDEMPOTENCY_MS = 7 * 24 * 3600 * 1000

export function createJob(context: StoreContext, job: NewJob): CreateResult {
  const { tables, now } = context
  const { state, spec, retryOf, idempotency } = job
  const name = idempotency && jobKey(state.tenant, idempotency.key)
  const known = name === null ? undefined : tables.idempotency.get(name)
  if (known && known.atMs >= now() - KEEP_IDEMPOTENCY_MS) {
    if (known.bodyHash !== idempotency?.bodyHash) return { kind: 'mismatch' }
    const row = rowOf(context, { tenant: state.tenant, job: known.job })
    if (!row) throw new AppError('internal', 'An idempotency key names a job that does not exist.')
    return { kind: 'existing', record: recordOf(context, row) }
  }
  const id = jobKey(state.tenant, state.id)
  if (tables.jobs.has(id)) return { kind: 'taken' }
  const atMs = now()
  const row: JobRow = {
    state,
    spec,
    shape: shapeIn(spec),
    retryOf,
    createdAtMs: atMs,
    startedAtMs: null,
    finishedAtMs: null,
    phaseSinceMs: atMs,
    queuedAtMs: atMs,
    notBeforeMs: 0,
    lapsedAtMs: null,
    attempts: new Map(),
    transitions: [{ rev: 1, atMs, event: 'submitted', status: state.status, phase: state.phase }],
  }
  tables.jobs.set(id, row)
  if (idempotency && name !== null)
    tables.idempotency.set(name, { bodyHash: idempotency.bodyHash, job: state.id, atMs })
  return { kind: 'created', record: recordOf(context, row) }
}

export function commit(context: StoreContext, change: Change): boolean {
  const { tables } = context
  if (change.guard?.kind === 'scheduler') {
    if (change.guard.rev !== tables.schedulerRev) return false
    tables.schedulerRev += 1
  }
  return applyChange(context, change)
}

export function commitPlan(context: StoreContext, rev: number, changes: readonly Change[]): readonly Change[] {
  if (changes.length === 0 || context.tables.schedulerRev !== rev) return []
  context.tables.schedulerRev += 1
  return changes.filter((change) => applyChange(context, change))
}

function applyChange(context: StoreContext, change: Change): boolean {
  const { before, after, event, reason } = change
  const row = rowOf(context, { tenant: before.tenant, job: before.id })
  if (!row) return false
  if (!context.isLax) {
    const { rev, status, phase } = row.state
    if (rev !== before.rev || status !== before.status || phase !== before.phase) return false
    if (!holds(context, change.guard)) return false
    refuseForged(row.state, after)
  }
  const atMs = context.now()
  const transition: TransitionRecord = {
    rev: after.rev,
    atMs,
    event: event.type,
    status: after.status,
    phase: after.phase,
    ...(reason === undefined ? {} : { reason }),
  }
  row.transitions.push(transition)
  stampTimes(row, change, atMs)
  changeAttempts(context, row, change, atMs)
  row.state = after
  context.onChange(row, change, transition)
  return true
}

function holds({ tables, now }: StoreContext, guard: Guard | undefined): boolean {
  switch (guard?.kind) {
    case 'lease_expired':
      return (tables.agents.get(guard.agent)?.leaseUntilMs ?? 0) <= now()
    case 'session':
      return tables.agents.get(guard.agent)?.record.session === guard.session
    default:
      // The schedule's own rev was compared before.
      return true
  }
}

/** The triggers. */
function refuseForged(before: JobState, after: JobState): void {
  const refused = (what: string): AppError =>
    new AppError('internal', `The database refused a statement: dray: ${what}`)
  if (isTerminal(before.status)) throw refused('an ended job never changes')
  if (after.rev !== before.rev + 1) throw refused('a change makes exactly the next rev')
  const assigned = after.assignment?.attempt ?? null
  if (after.attempt < before.attempt || (before.phase === 'queued' && assigned !== null && assigned <= before.attempt))
    throw refused('an attempt never comes back')
}

function stampTimes(row: JobRow, { before, after, attempt, notBeforeMs }: Change, atMs: number): void {
  if (after.phase !== before.phase) row.phaseSinceMs = atMs
  if (after.phase === 'queued' && before.phase !== 'assigned') row.queuedAtMs = atMs
  if (notBeforeMs !== undefined) row.notBeforeMs = atMs + Math.ceil(notBeforeMs)
  if (after.phase === 'reconnecting' && before.phase !== 'reconnecting') row.lapsedAtMs = atMs
  const startedAtMs = attempt?.startedAtMs ?? (after.phase === 'running' ? atMs : null)
  row.startedAtMs ??= startedAtMs
  if (after.phase === 'finished') row.finishedAtMs = atMs
}

function changeAttempts(
  context: StoreContext,
  row: JobRow,
  { before, after, event, attempt: facts }: Change,
  atMs: number,
): void {
  if (event.type === 'claimed') claimAttempt(row, after, event, atMs)
  const filled = facts && row.attempts.get(facts.attempt)
  if (filled) {
    const given = Object.entries(facts).filter(([, value]) => value !== undefined)
    filled.record = { ...filled.record, ...Object.fromEntries(given) }
  }
  const ended = before.assignment
  const left = ended && ended.session !== null && after.assignment === null && row.attempts.get(ended.attempt)
  if (!left || left.record.finishedAtMs !== null) return
  const agent = context.tables.agents.get(left.record.agent)
  const held = agent?.record.held.find((one) => isAttempt(one, row.state, left.record.attempt))
  left.record = { ...left.record, finishedAtMs: atMs, told: held?.n ?? left.record.told }
}

function claimAttempt(
  row: JobRow,
  after: JobState,
  { attempt, agent, session, beat }: Extract<Change['event'], { type: 'claimed' }>,
  atMs: number,
): void {
  const known = row.attempts.get(attempt)
  const record = known
    ? { ...known.record, session }
    : {
        attempt,
        agent,
        session,
        gpus: after.assignment?.gpus ?? [],
        imageDigest: null,
        claimedAtMs: atMs,
        startedAtMs: null,
        finishedAtMs: null,
        updates: null,
        told: null,
        exit: null,
        error: null,
      }
  row.attempts.set(attempt, { record, claimBeat: beat })
}

export function readScheduleView(context: StoreContext, limit: number): ScheduleView {
  const { tables, now } = context
  const agents = [...tables.agents.values()]
  const pools = new Set(agents.map(({ record }) => record.pool))
  const taken = new Map<string, number>()
  const isInView = ({ spec: { pool } }: JobRow): boolean => {
    const count = (taken.get(pool) ?? 0) + 1
    taken.set(pool, count)
    return count <= limit
  }
  const rows = [...tables.jobs.values()]
  const waiting = rows.filter(
    (row) =>
      row.state.phase === 'queued' &&
      row.notBeforeMs <= now() &&
      pools.has(row.spec.pool) &&
      !isStillPublishing(context, row),
  )
  return {
    schedulerRev: tables.schedulerRev,
    queued: waiting.toSorted(compareRows).filter(isInView).map(shapeOf),
    agents: agents.map((row) => withUntold(context, row, rows)),
    placed: rows.filter(({ state }) => state.assignment !== null).map(shapeOf),
  }
}

/** With what an agent may still run though it has never told so: the lost attempt of a waiting job, claimed since. */
function withUntold(context: StoreContext, agent: AgentRow, rows: readonly JobRow[]): AgentRecord {
  const record = agentOf(context, agent)
  const isUntold = ({ state, attempts }: JobRow): boolean => {
    const last = state.phase === 'queued' ? attempts.get(state.attempt) : undefined
    if (!last || last.record.agent !== record.id || last.record.updates !== null) return false
    return last.record.session === record.session && record.beat <= last.claimBeat
  }
  const untold = rows.filter(isUntold).map(({ state: { tenant, id: job, attempt } }) => {
    return { tenant, job, attempt, phase: 'running' as const, n: 0, stdout_lines: 0, stderr_lines: 0 }
  })
  return untold.length === 0 ? record : { ...record, held: [...record.held, ...untold] }
}

export function listJobs(context: StoreContext, filter: JobFilter): Page<JobRecord> {
  const { tenant, statuses, label, pool, limit, cursor } = filter
  const place = cursor === null ? null : readCursor(cursor)
  const isListed = ({ state, spec, createdAtMs }: JobRow): boolean =>
    state.tenant === tenant &&
    (statuses.length === 0 || statuses.includes(state.status)) &&
    (pool === null || spec.pool === pool) &&
    (label === null || spec.labels[label.key] === label.value) &&
    (place === null || createdAtMs < place.atMs || (createdAtMs === place.atMs && state.id < place.id))
  const rows = [...context.tables.jobs.values()].filter(isListed).toSorted((a, b) => compareAge(b, a))
  const items = rows.slice(0, limit).map((row) => recordOf(context, row))
  const last = items.at(-1)
  const more = last && rows.length > limit
  return { items, cursor: more ? writeCursor({ atMs: last.createdAtMs, id: last.state.id }) : null }
}

export function queuePosition(context: StoreContext, { state }: JobRecord): number {
  const me = rowOf(context, { tenant: state.tenant, job: state.id })
  if (!me) return 1
  const isAhead = (row: JobRow): boolean =>
    row.state.phase === 'queued' && row.spec.pool === me.spec.pool && compareRows(row, me) < 0
  return [...context.tables.jobs.values()].filter(isAhead).length + 1
}

export function jobsOnAgent(context: StoreContext, agent: string): readonly JobRecord[] {
  const rows = [...context.tables.jobs.values()].filter(({ state }) => state.assignment?.agent === agent)
  return rows.toSorted(compareAge).map((row) => recordOf(context, row))
}
