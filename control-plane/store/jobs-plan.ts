// The assignments of one plan in one batch, and the view that a plan is made from.
//
// Two schedulers never give one GPU, or the same memory, twice: a plan is made from a view that was read in one snapshot
// together with scheduler.rev, every assignment passes through `commitPlan`, and that applies none once the rev has
// moved. Only assignments move it. What frees capacity (a job that ends, an agent that grows) need not: an older view
// then merely believes in less than there is. An agent that shrinks or falls silent need not either: no check here could
// see what it does a moment later, so an assignment that it cannot take is not claimed, and comes back within seconds.
import { sql, type SQL } from 'drizzle-orm'
import type { AgentRecord, Change, ScheduleView } from '../core/ports.ts'
import { selectAgents } from './agent-select.ts'
import { NOW, type Db, type Row } from './db.ts'
import { bumpScheduler, changeStatements } from './jobs-commit.ts'
import { IS_HELD, selectShapes } from './job-select.ts'
import { agentOf, queuedJobOf } from './rows.ts'

export async function commitPlan(db: Db, schedulerRev: number, changes: readonly Change[]): Promise<readonly Change[]> {
  if (changes.length === 0) return []
  const token = crypto.randomUUID()
  const guard = { kind: 'scheduler', rev: schedulerRev } as const
  const results = await db.write([
    bumpScheduler(schedulerRev, token),
    ...changes.flatMap((change) => changeStatements({ ...change, guard }, token)),
    winnersOf(changes, token),
  ])
  const won = new Set(results.at(-1)?.map((row) => `${String(row['tenant'])}/${String(row['job'])}`))
  return changes.filter(({ after }) => won.has(`${after.tenant}/${after.id}`))
}

function winnersOf(changes: readonly Change[], token: string): SQL {
  const keys = JSON.stringify(changes.map(({ after }) => ({ tenant: after.tenant, job: after.id, rev: after.rev })))
  return sql`SELECT t.tenant, t.job FROM json_each(${keys}) k
    JOIN transitions t ON t.tenant = k.value ->> 'tenant' AND t.job = k.value ->> 'job' AND t.rev = k.value ->> 'rev'
    WHERE t.token = ${token}`
}

/**
 * A retry waits while its last attempt, which has ended, is still being published: the next one would cut off what is on
 * its way, and readers would be told of a gap. At most for as long as the job waits for a lost agent, and only while that
 * agent is heard of; by the end that it told, which put the job into the queue, it was. Its lease may have run out while
 * the database was too slow to take a beat, and nothing here knows of such a time: so a lease more.
 */
const STILL_PUBLISHING = sql`EXISTS (
  SELECT 1 FROM attempts a JOIN agents g ON g.id = a.agent AND MAX(g.lease_until, w.queued_at) + g.lease_ms > ${NOW}
  WHERE a.tenant = w.tenant AND a.job = w.id AND a.attempt = w.attempt AND a.updates IS NOT NULL
    AND w.queued_at + w.lost_after_ms > ${NOW} AND ${IS_HELD})`

/**
 * What an agent may still run though it has never told so: the last attempt of a waiting job, claimed after its last beat
 * and lost. A beat that was built before the claim and comes late must not make its GPUs look free.
 */
const UNTOLD = sql`SELECT a.agent, a.tenant, a.job, a.attempt
  FROM jobs j JOIN attempts a ON a.tenant = j.tenant AND a.job = j.id AND a.attempt = j.attempt
  JOIN agents g ON g.id = a.agent AND g.session = a.session AND g.beat <= a.claim_beat
  WHERE j.phase = 'queued' AND a.updates IS NULL`

function withUntold(agent: AgentRecord, untold: readonly Row[]): AgentRecord {
  const more = untold.filter((row) => row['agent'] === agent.id)
  if (more.length === 0) return agent
  const held = more.map(({ tenant, job, attempt }) => ({
    tenant: String(tenant),
    job: String(job),
    attempt: Number(attempt),
    phase: 'running' as const,
    n: 0,
    stdout_lines: 0,
    stderr_lines: 0,
  }))
  return { ...agent, held: [...agent.held, ...held] }
}

/**
 * Queued jobs come pool by pool, at most `limit` of each: a long queue of one pool never hides the queue of another.
 * A pool that no agent has joined has nothing to plan.
 */
export async function readScheduleView(db: Db, limit: number): Promise<ScheduleView> {
  const [scheduler, queued, agents, placed, untold] = await db.read([
    sql`SELECT rev FROM scheduler WHERE id = 1`,
    selectShapes(sql`WHERE j.rowid IN (
        SELECT q.rowid FROM (SELECT DISTINCT pool FROM agents) p JOIN jobs q ON q.rowid IN (
          SELECT w.rowid FROM jobs w WHERE w.phase = 'queued' AND w.pool = p.pool AND w.not_before <= ${NOW}
            AND NOT ${STILL_PUBLISHING}
          ORDER BY w.priority, w.created_at, w.id LIMIT ${limit}))
      ORDER BY j.priority, j.created_at, j.id`),
    selectAgents(sql`ORDER BY joined_at, id`),
    selectShapes(sql`WHERE j.agent IS NOT NULL`),
    UNTOLD,
  ])
  return {
    schedulerRev: Number(scheduler?.[0]?.['rev'] ?? 0),
    queued: (queued ?? []).map(queuedJobOf),
    agents: (agents ?? []).map((row) => withUntold(agentOf(row), untold ?? [])),
    placed: (placed ?? []).map(queuedJobOf),
  }
}
