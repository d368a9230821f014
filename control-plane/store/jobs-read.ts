// Reads of jobs, each one round trip.
import { sql, type SQL } from 'drizzle-orm'
import type { JobRecord, TransitionRecord } from '../../shared/job.ts'
import type { JobFilter, JobKey, Page } from '../core/ports.ts'
import { readCursor, writeCursor } from './cursor.ts'
import type { Db } from './db.ts'
import { selectRecords } from './job-select.ts'
import { recordOf, transitionOf } from './rows.ts'

export async function readJob(db: Db, { tenant, job }: JobKey): Promise<JobRecord | null> {
  const [rows] = await db.read([selectRecords(sql`WHERE j.tenant = ${tenant} AND j.id = ${job}`)])
  return rows?.[0] ? recordOf(rows[0]) : null
}

export async function readTransitions(db: Db, { tenant, job }: JobKey): Promise<readonly TransitionRecord[]> {
  const [rows] = await db.read([
    sql`SELECT rev, at, event, status, phase, reason FROM transitions WHERE tenant = ${tenant} AND job = ${job}
      ORDER BY rev`,
  ])
  return (rows ?? []).map(transitionOf)
}

export async function listJobs(db: Db, filter: JobFilter): Promise<Page<JobRecord>> {
  const where = [sql`j.tenant = ${filter.tenant}`]
  if (filter.statuses.length > 0) where.push(sql`j.status IN ${filter.statuses}`)
  if (filter.pool !== null) where.push(sql`j.pool = ${filter.pool}`)
  // The labels are kept in the order of the list, so a rare label does not cost a walk through all jobs.
  const { label } = filter
  const from = label
    ? sql`JOIN job_labels l ON l.tenant = j.tenant AND l.job = j.id AND l.key = ${label.key} AND l.value = ${label.value}`
    : sql.empty()
  const order: SQL = label ? sql`l.created_at, l.job` : sql`j.created_at, j.id`
  if (label) where.push(sql`l.tenant = ${filter.tenant}`)
  if (filter.cursor !== null) {
    const { atMs, id } = readCursor(filter.cursor)
    where.push(sql`(${order}) < (${atMs}, ${id})`)
  }
  const descending = label ? sql`l.created_at DESC, l.job DESC` : sql`j.created_at DESC, j.id DESC`
  // One more than asked for says whether there is another page.
  const [rows] = await db.glance([
    selectRecords(sql`${from} WHERE ${sql.join(where, sql` AND `)} ORDER BY ${descending} LIMIT ${filter.limit + 1}`),
  ])
  const items = (rows ?? []).slice(0, filter.limit).map(recordOf)
  const last = items.at(-1)
  const more = last && (rows?.length ?? 0) > filter.limit
  return { items, cursor: more ? writeCursor({ atMs: last.createdAtMs, id: last.state.id }) : null }
}

export async function queuePosition(db: Db, { state }: JobRecord): Promise<number> {
  const [rows] = await db.read([
    sql`SELECT COUNT(*) AS ahead FROM jobs j JOIN jobs me ON me.tenant = ${state.tenant} AND me.id = ${state.id}
      WHERE j.phase = 'queued' AND j.pool = me.pool
        AND (j.priority, j.created_at, j.id) < (me.priority, me.created_at, me.id)`,
  ])
  return Number(rows?.[0]?.['ahead'] ?? 0) + 1
}

export async function jobsOnAgent(db: Db, agent: string): Promise<readonly JobRecord[]> {
  const [rows] = await db.read([selectRecords(sql`WHERE j.agent = ${agent} ORDER BY j.created_at, j.id`)])
  return (rows ?? []).map(recordOf)
}
