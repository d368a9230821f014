// What the sweep needs, in one batch: its first statement decides by the database's clock whether anybody watched, and
// notes that somebody does now. When nobody did, no silence is held against an agent: each lease that had not run out
// when somebody last looked gets a fresh term, nothing is listed as overdue, and waits count from this moment.
import { sql, type SQL } from 'drizzle-orm'
import type { SweepView } from '../core/ports.ts'
import { NOW, type Db, type Row } from './db.ts'
import { IDEMPOTENCY_ENDED } from './jobs-create.ts'
import { selectRecords } from './job-select.ts'
import { recordOf } from './rows.ts'

/** A clock that NTP moved back a little is no reason to be blind. */
const CLOCK_SLACK_MS = 1_000
const TIDY_LIMIT = 100

const WATCHING = sql`(SELECT blind FROM sweep WHERE id = 1) = 0`
const WATCHING_SINCE = sql`(SELECT watching_since FROM sweep WHERE id = 1)`
/** Its agent was deleted, or its lease has run out. A claim is a sign of life too: its first beat has yet to come. */
const SILENT = sql`NOT EXISTS (
  SELECT 1 FROM agents g WHERE g.id = j.agent AND MAX(g.lease_until, j.phase_since + g.lease_ms) > ${NOW})`

export async function beginSweep(
  db: Db,
  { termMs, limit }: { readonly termMs: number; readonly limit: number },
): Promise<SweepView> {
  const results = await db.write([...look(termMs), tidy(), ...lists(limit)])
  const [sweep, unclaimed, lapsed, reconnecting, expired, queued] = results.slice(-6)
  return {
    blind: sweep?.[0]?.['blind'] !== 0,
    unclaimed: (unclaimed ?? []).map((row) => ({ record: recordOf(row), waitedMs: since(row) })),
    lapsed: (lapsed ?? []).map(recordOf),
    reconnecting: (reconnecting ?? []).map((row) => ({ record: recordOf(row), silentMs: since(row) })),
    expired: (expired ?? []).map(recordOf),
    queuedCount: Number(queued?.[0]?.['count'] ?? 0),
  }
}

function since(row: Row): number {
  return Math.max(0, Number(row['since_ms']))
}

function look(termMs: number): SQL[] {
  const unwatched = sql`(at < ${NOW} - ${termMs} OR at > ${NOW} + ${CLOCK_SLACK_MS})`
  return [
    sql`UPDATE sweep SET blind = ${unwatched}, previous_at = at, at = ${NOW},
      watching_since = CASE WHEN ${unwatched} THEN ${NOW} ELSE watching_since END WHERE id = 1`,
    // A lease that had run out at the last look was judged then. Its agent is not called alive for a term once more.
    sql`UPDATE agents SET lease_until = ${NOW} + lease_ms
      WHERE EXISTS (SELECT 1 FROM sweep s WHERE s.id = 1 AND s.blind <> 0
        AND (agents.lease_until > s.previous_at OR s.previous_at > s.at))`,
  ]
}

/** Idempotency keys whose time is over, a few at a time. */
function tidy(): SQL {
  return sql`DELETE FROM idempotency WHERE (tenant, key) IN (
    SELECT tenant, key FROM idempotency WHERE ${IDEMPOTENCY_ENDED} LIMIT ${TIDY_LIMIT})`
}

function lists(limit: number): SQL[] {
  return [
    sql`SELECT blind FROM sweep WHERE id = 1`,
    selectRecords(
      sql`WHERE j.phase = 'assigned' AND j.phase <> 'finished' ORDER BY j.phase_since LIMIT ${limit}`,
      sql`, ${NOW} - MAX(j.phase_since, ${WATCHING_SINCE}) AS since_ms`,
    ),
    selectRecords(sql`WHERE j.agent IS NOT NULL AND j.phase IN ('pulling', 'creating', 'running')
      AND ${WATCHING} AND ${SILENT} ORDER BY j.phase_since LIMIT ${limit}`),
    selectRecords(
      sql`WHERE j.phase = 'reconnecting' AND j.phase <> 'finished' AND ${WATCHING} ORDER BY j.lapsed_at LIMIT ${limit}`,
      sql`, ${NOW} - MAX(j.lapsed_at, ${WATCHING_SINCE}) AS since_ms`,
    ),
    selectRecords(sql`WHERE j.phase = 'queued' AND j.phase <> 'finished' AND j.queue_ttl_ms IS NOT NULL
      AND j.queued_at + j.queue_ttl_ms <= ${NOW} AND ${WATCHING} ORDER BY j.queued_at LIMIT ${limit}`),
    sql`SELECT COUNT(*) AS count FROM jobs WHERE phase = 'queued' AND phase <> 'finished'`,
  ]
}
