// Submit: the job, its labels, its first transition and its idempotency key in one batch, or none of them. The job is
// inserted only if neither its id nor a living idempotency key is there; who inserted is read back by a random token.
// One round trip; a batch whose answer was lost leaves a job that its idempotency key finds again.
import { sql, type SQL } from 'drizzle-orm'
import { AppError } from '../../shared/errors.ts'
import type { CreateResult, NewJob } from '../core/ports.ts'
import { json, jsonOrNull, NOW, type Db } from './db.ts'
import { selectRecords } from './job-select.ts'
import { recordOf, shapeOf } from './rows.ts'

const KEEP_IDEMPOTENCY_MS = 7 * 24 * 3600 * 1000
export const IDEMPOTENCY_ENDED = sql`at < ${NOW} - ${KEEP_IDEMPOTENCY_MS}`

const PRIORITY = { high: 0, normal: 1, low: 2 } as const

export async function createJob(db: Db, job: NewJob): Promise<CreateResult> {
  const token = crypto.randomUUID()
  const results = await db.write([...forgetOldKey(job), ...insertJob(job, token), ...readBack(job, token)])
  const [mine, known, record] = results.slice(-3)
  if (mine?.[0]) return { kind: 'created', record: createdRecord(job, Number(mine[0]['at'])) }
  if (!known?.[0]) return { kind: 'taken' }
  if (known[0]['body_hash'] !== job.idempotency?.bodyHash) return { kind: 'mismatch' }
  if (!record?.[0]) throw new AppError('internal', 'An idempotency key names a job that does not exist.')
  return { kind: 'existing', record: recordOf(record[0]) }
}

function forgetOldKey({ state, idempotency }: NewJob): SQL[] {
  if (!idempotency) return []
  return [
    sql`DELETE FROM idempotency WHERE tenant = ${state.tenant} AND key = ${idempotency.key} AND ${IDEMPOTENCY_ENDED}`,
  ]
}

function insertJob(job: NewJob, token: string): SQL[] {
  const { state, spec, idempotency } = job
  const free = idempotency
    ? sql`NOT EXISTS (SELECT 1 FROM idempotency WHERE tenant = ${state.tenant} AND key = ${idempotency.key})`
    : sql`true`
  const mine = sql`FROM transitions t WHERE t.tenant = ${state.tenant} AND t.job = ${state.id} AND t.rev = 1
    AND t.token = ${token}`
  const ttlMs = spec.queue_ttl_seconds === undefined ? null : spec.queue_ttl_seconds * 1000
  return [
    sql`INSERT INTO jobs (tenant, id, rev, status, phase, attempt, failures, priority, pool, spec, shape, labels, retries,
        result, error, exit, retry_of, created_at, phase_since, queued_at, queue_ttl_ms, lost_after_ms)
      SELECT ${state.tenant}, ${state.id}, 1, ${state.status}, ${state.phase}, ${state.attempt}, ${state.failures},
        ${PRIORITY[spec.priority]}, ${spec.pool}, ${json(spec)}, ${json(shapeOf(spec))}, ${json(spec.labels)},
        ${json(state.retries)}, ${json(state.result)}, ${jsonOrNull(state.error)}, ${jsonOrNull(state.exit)},
        ${job.retryOf}, ${NOW}, ${NOW}, ${NOW}, ${ttlMs}, ${spec.lost_after_seconds * 1000}
      WHERE ${free} ON CONFLICT (tenant, id) DO NOTHING`,
    // Every job has its transition 1, so the id of another job never gets a second one; nor does a job not inserted.
    sql`INSERT INTO transitions (tenant, job, rev, token, event, at, status, phase)
      SELECT j.tenant, j.id, 1, ${token}, 'submitted', j.created_at, j.status, j.phase
      FROM jobs j WHERE j.tenant = ${state.tenant} AND j.id = ${state.id} ON CONFLICT DO NOTHING`,
    ...Object.entries(spec.labels).map(
      ([key, value]) => sql`INSERT INTO job_labels (tenant, key, value, created_at, job)
        SELECT t.tenant, ${key}, ${value}, t.at, t.job ${mine} ON CONFLICT DO NOTHING`,
    ),
    ...(idempotency
      ? [
          sql`INSERT INTO idempotency (tenant, key, body_hash, job, at)
            SELECT t.tenant, ${idempotency.key}, ${idempotency.bodyHash}, t.job, t.at ${mine} ON CONFLICT DO NOTHING`,
        ]
      : []),
  ]
}

function readBack({ state, idempotency }: NewJob, token: string): SQL[] {
  const { tenant, id } = state
  const key = idempotency?.key ?? null
  return [
    sql`SELECT at FROM transitions WHERE tenant = ${tenant} AND job = ${id} AND rev = 1 AND token = ${token}`,
    sql`SELECT body_hash FROM idempotency WHERE tenant = ${tenant} AND key = ${key}`,
    selectRecords(sql`WHERE j.tenant = ${tenant}
      AND j.id = (SELECT job FROM idempotency WHERE tenant = ${tenant} AND key = ${key} AND job <> ${id}
        UNION ALL SELECT job FROM idempotency WHERE tenant = ${tenant} AND key = ${key} AND job = ${id}
          AND NOT EXISTS (SELECT 1 FROM transitions WHERE tenant = ${tenant} AND job = ${id} AND rev = 1 AND token = ${token}))`),
  ]
}

function createdRecord({ state, spec, retryOf }: NewJob, createdAtMs: number) {
  return {
    state,
    spec,
    retryOf,
    createdAtMs,
    startedAtMs: null,
    finishedAtMs: null,
    attempts: [],
    heldAttempts: [],
    leaseLeftMs: null,
  }
}
