// The simulated database: agents, heartbeats, the sweep, keys.
import type {
  AgentRecord,
  Beat,
  BeatResult,
  Metrics,
  NewAgent,
  Page,
  SweepView,
} from '../../control-plane/core/ports.ts'
import { readCursor, writeCursor } from '../../control-plane/store/cursor.ts'
import type { HeldAttempt } from '../../shared/agent-protocol.ts'
import { PHASES } from '../../shared/job.ts'
import { beganBefore } from '../../shared/session-name.ts'
import { agentOf, compareAge, jobKey, recordOf, type AgentRow, type JobRow, type StoreContext } from './store-tables.ts'

export function joinAgent(context: StoreContext, agent: NewAgent, tokenHash: string): AgentRecord | 'bad_token' {
  const { tables, now } = context
  const token = tables.joinTokens.get(tokenHash)
  if (!token || (token.expiresAtMs !== null && token.expiresAtMs <= now())) return 'bad_token'
  const { keyHash, ...facts } = agent
  const given = { ...facts, pool: token.pool ?? agent.pool, beat: 0 }
  const known = [...tables.agents.values()].find(({ record }) => record.nkey === agent.nkey)
  if (known) {
    known.record = { ...known.record, ...given, id: known.record.id }
    known.keyHash = keyHash
    known.sessions.add(agent.session)
    return agentOf(context, known)
  }
  const row: AgentRow = {
    record: { ...given, cordoned: false, draining: false, held: [], lastSeenAtMs: null, joinedAtMs: now() },
    keyHash,
    leaving: false,
    leaseMs: 0,
    leaseUntilMs: now(),
    heardSinceMs: now(),
    sessions: new Set([agent.session]),
  }
  tables.agents.set(agent.id, row)
  return agentOf(context, row)
}

export function recordBeat(context: StoreContext, beat: Beat): BeatResult {
  const { tables, now } = context
  const { agent } = beat
  const row =
    'id' in agent
      ? tables.agents.get(agent.id)
      : [...tables.agents.values()].find((one) => one.keyHash === agent.keyHash)
  if (!row) return { kind: 'gone' }
  const before = agentOf(context, row)
  const isNewest = !row.sessions.has(beat.session) && !beganBefore(beat.session, row.record.session ?? '')
  if (isNewest) row.record = { ...row.record, session: beat.session, beat: 0 }
  row.sessions.add(beat.session)
  if (row.record.session !== beat.session) return { kind: 'superseded' }
  if (row.leaseUntilMs <= now()) row.heardSinceMs = now()
  row.leaseMs = beat.leaseMs
  row.leaseUntilMs = now() + beat.leaseMs
  const isLater = beat.beat > row.record.beat
  if (isLater) keepToldOfDropped(context, row.record.held, beat.held)
  if (isLater) row.leaving = beat.leaving
  row.record = { ...row.record, lastSeenAtMs: now(), ...(isLater ? newsOf(row, beat) : {}) }
  const after = agentOf(context, row)
  const holds = new Set(beat.held.map(({ tenant, job }) => jobKey(tenant, job)))
  const isMeant = ({ state }: JobRow): boolean =>
    state.assignment?.agent === row.record.id || holds.has(jobKey(state.tenant, state.id))
  const jobs = [...tables.jobs.values()].filter(isMeant).toSorted(compareAge)
  return { kind: 'ok', agent: after, jobs: jobs.map((job) => recordOf(context, job)), changed: hasNews(before, after) }
}

/** Of an attempt whose process died before it told its end. */
function keepToldOfDropped({ tables }: StoreContext, old: readonly HeldAttempt[], now: readonly HeldAttempt[]): void {
  for (const one of old) {
    if (now.some((other) => isSame(one, other))) continue
    const row = tables.jobs.get(jobKey(one.tenant, one.job))?.attempts.get(one.attempt)
    if (row?.record.finishedAtMs === null) row.record = { ...row.record, told: one.n }
  }
}

function newsOf({ record }: AgentRow, beat: Beat): Partial<AgentRow['record']> {
  return {
    beat: beat.beat,
    bootId: beat.bootId,
    held: beat.held.map((now) => furthest(record.held, now)),
    capacity: beat.capacity ?? record.capacity,
    posture: beat.posture ?? record.posture,
  }
}

function isSame(one: HeldAttempt, other: HeldAttempt): boolean {
  return one.attempt === other.attempt && one.job === other.job && one.tenant === other.tenant
}

/** Of each attempt the furthest position that its agent ever told. */
function furthest(held: readonly HeldAttempt[], now: HeldAttempt): HeldAttempt {
  const old = held.find((one) => isSame(one, now))
  if (!old || old.n <= now.n) return now
  const { n, stdout_lines, stderr_lines } = old
  return { ...now, n, stdout_lines, stderr_lines }
}

function hasNews(before: AgentRecord, after: AgentRecord): boolean {
  return (
    before.leaseExpired ||
    before.session !== after.session ||
    before.beat === 0 ||
    before.draining !== after.draining ||
    (before.capacity !== after.capacity && JSON.stringify(before.capacity) !== JSON.stringify(after.capacity)) ||
    (before.posture !== after.posture && JSON.stringify(before.posture) !== JSON.stringify(after.posture)) ||
    heldKeys(before.held) !== heldKeys(after.held)
  )
}

function heldKeys(held: readonly HeldAttempt[]): string {
  return held
    .map(({ tenant, job, attempt, phase }) => `${tenant}/${job}/${attempt}/${phase === 'finished' ? 'over' : ''}`)
    .toSorted()
    .join()
}

/** A clock that NTP moved back a little is no reason to be blind. */
const CLOCK_SLACK_MS = 1_000

export function beginSweep(context: StoreContext, options: { termMs: number; limit: number }): SweepView {
  const { tables, now } = context
  const { sweep } = tables
  const atMs = now()
  const blind = sweep.atMs < atMs - options.termMs || sweep.atMs > atMs + CLOCK_SLACK_MS
  if (blind) {
    sweep.watchingSinceMs = atMs
    // A lease that had run out at the last look was judged then.
    for (const agent of tables.agents.values())
      if (agent.leaseUntilMs > sweep.atMs || sweep.atMs > atMs) agent.leaseUntilMs = atMs + agent.leaseMs
  }
  sweep.previousAtMs = sweep.atMs
  sweep.atMs = atMs
  return viewOf(context, blind, options.limit)
}

function viewOf(context: StoreContext, blind: boolean, limit: number): SweepView {
  const { tables, now } = context
  const { watchingSinceMs } = tables.sweep
  const rows = [...tables.jobs.values()].filter(({ state }) => state.phase !== 'finished')
  const waitOf = (sinceMs: number): number => Math.max(0, now() - Math.max(sinceMs, watchingSinceMs))
  const isSilent = ({ state, phaseSinceMs }: JobRow): boolean => {
    const agent = tables.agents.get(state.assignment?.agent ?? '')
    // A claim is a sign of life too.
    return !agent || Math.max(agent.leaseUntilMs, phaseSinceMs + agent.leaseMs) <= now()
  }
  const isHeld = ({ state }: JobRow): boolean => ['pulling', 'creating', 'running'].includes(state.phase)
  const isOverdue = (row: JobRow): boolean =>
    row.state.phase === 'queued' &&
    row.spec.queue_ttl_seconds !== undefined &&
    row.queuedAtMs + row.spec.queue_ttl_seconds * 1000 <= now()
  const listed = (list: JobRow[], sinceOf: (row: JobRow) => number): JobRow[] =>
    list.toSorted((a, b) => sinceOf(a) - sinceOf(b)).slice(0, limit)
  const sincePhase = (row: JobRow): number => row.phaseSinceMs
  const unclaimed = rows.filter(({ state }) => state.phase === 'assigned')
  const lapsed = rows.filter((row) => isHeld(row) && isSilent(row))
  const reconnecting = rows.filter(({ state }) => state.phase === 'reconnecting')
  return {
    blind,
    unclaimed: listed(unclaimed, sincePhase).map((row) => ({
      record: recordOf(context, row),
      waitedMs: waitOf(row.phaseSinceMs),
    })),
    lapsed: blind ? [] : listed(lapsed, sincePhase).map((row) => recordOf(context, row)),
    reconnecting: blind
      ? []
      : listed(reconnecting, (row) => row.lapsedAtMs ?? 0).map((row) => ({
          record: recordOf(context, row),
          silentMs: waitOf(row.lapsedAtMs ?? 0),
        })),
    expired: blind ? [] : listed(rows.filter(isOverdue), (row) => row.queuedAtMs).map((row) => recordOf(context, row)),
    queuedCount: rows.filter(({ state }) => state.phase === 'queued').length,
  }
}

export function listAgents(context: StoreContext, page: { limit: number; cursor: string | null }): Page<AgentRecord> {
  const place = page.cursor === null ? null : readCursor(page.cursor)
  const isAfter = ({ record }: AgentRow): boolean =>
    place === null || record.joinedAtMs < place.atMs || (record.joinedAtMs === place.atMs && record.id < place.id)
  const newestFirst = (a: AgentRow, b: AgentRow): number =>
    b.record.joinedAtMs - a.record.joinedAtMs || (a.record.id < b.record.id ? 1 : -1)
  const rows = [...context.tables.agents.values()].filter(isAfter).toSorted(newestFirst)
  const items = rows.slice(0, page.limit).map((row) => agentOf(context, row))
  const last = items.at(-1)
  const more = last && rows.length > page.limit
  return { items, cursor: more ? writeCursor({ atMs: last.joinedAtMs, id: last.id }) : null }
}

export function setAgentFlags(
  context: StoreContext,
  id: string,
  flags: { readonly cordoned?: boolean; readonly draining?: boolean },
): AgentRecord | null {
  const row = context.tables.agents.get(id)
  if (!row) return null
  row.record = { ...row.record, ...flags }
  return agentOf(context, row)
}

export function leaveAgent({ tables, now }: StoreContext, id: string, session: string): boolean {
  const row = tables.agents.get(id)
  if (row?.record.session !== session) return false
  row.leaseUntilMs = now()
  return true
}

export function metrics({ tables, now }: StoreContext): Metrics {
  const rows = [...tables.jobs.values()]
  const phases = PHASES.filter((phase) => phase !== 'finished')
  const jobsByPhase = Object.fromEntries(
    phases.map((phase) => [phase, rows.filter(({ state }) => state.phase === phase).length]),
  )
  const states = [...tables.agents.values()].map((row) => {
    if (row.leaseUntilMs <= now()) return 'lost'
    if (row.record.draining || row.leaving) return 'draining'
    return row.record.cordoned ? 'cordoned' : 'ready'
  })
  const agentsByState = Object.fromEntries(
    ['ready', 'cordoned', 'draining', 'lost'].map((name) => [name, states.filter((state) => state === name).length]),
  )
  const waits = rows.filter(({ state }) => state.phase === 'assigned').map((row) => now() - row.phaseSinceMs)
  return {
    jobsByPhase,
    agentsByState,
    oldestUnclaimedMs: Math.max(0, ...waits),
    databaseIncarnation: 1,
    updatesStreamChanges: 0,
  }
}
