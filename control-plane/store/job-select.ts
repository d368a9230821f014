// The two ways to read jobs: whole records, each with its attempts, in one statement; and shapes, which leave out all
// that scheduling does not look at. `rest` is everything after FROM jobs j; its constants must be literals wherever a
// partial index is meant to be used (`phase = 'queued'`), because SQLite proves nothing about parameters.
import { sql, type SQL } from 'drizzle-orm'
import { NOW } from './db.ts'

const STATE = sql.raw(
  'j.tenant, j.id, j.rev, j.status, j.phase, j.attempt, j.failures, j.retries, j.cancel, j.assignment, j.finished_by,' +
    ' j.result, j.error, j.exit, j.created_at',
)

const ATTEMPTS = sql.raw(`(
  SELECT json_group_array(json_object(
    'attempt', a.attempt, 'agent', a.agent, 'session', a.session, 'gpus', json(a.gpus),
    'imageDigest', a.image_digest, 'claimedAtMs', a.claimed_at, 'startedAtMs', a.started_at,
    'finishedAtMs', a.finished_at, 'updates', a.updates, 'told', a.told, 'exit', json(a.exit), 'error', json(a.error)))
  FROM attempts a WHERE a.tenant = j.tenant AND a.job = j.id
) AS attempts`)

/** Of attempt `a` and its agent `g`: listed by its last beat, or claimed since; after a restore nobody knows before its beat. */
export const IS_HELD = sql`(g.session = '' OR (g.session = a.session AND g.beat <= a.claim_beat) OR EXISTS (
      SELECT 1 FROM json_each(g.held) h
      WHERE h.value ->> 'tenant' = a.tenant AND h.value ->> 'job' = a.job AND h.value ->> 'attempt' = a.attempt))`

// Held: listed by its agent's last beat, or claimed since: a job may begin and end between two beats, and its updates are
// still on their way then. After a restore nobody knows what an agent holds before its first beat. An agent that has been
// silent for longer than the job waits for it publishes nothing more: it holds nothing, or the readers of an ended job
// would wait for ever for a machine that has burnt down. The end that it told is a sign of its life like a beat: it may
// be its first word after a long silence, and all that it has to publish comes after it.
const HELD_ATTEMPTS = sql`(
  SELECT json_group_array(a.attempt)
  FROM attempts a
  JOIN agents g ON g.id = a.agent AND j.lost_after_ms + MAX(g.lease_until,
    CASE WHEN a.updates IS NOT NULL AND a.attempt = j.attempt THEN j.phase_since + g.lease_ms ELSE 0 END) > ${NOW}
  WHERE a.tenant = j.tenant AND a.job = j.id
    AND ${IS_HELD}
) AS held_attempts`

const LEASE_LEFT = sql`(SELECT MAX(0, g.lease_until - ${NOW}) FROM agents g WHERE g.id = j.agent) AS lease_left`

/** `more` are further columns. */
export function selectRecords(rest: SQL, more: SQL = sql.empty()): SQL {
  return sql`SELECT ${STATE}, j.spec, j.retry_of, j.started_at, j.finished_at, ${ATTEMPTS}, ${HELD_ATTEMPTS}, ${LEASE_LEFT} ${more}
    FROM jobs j ${rest}`
}

export function selectShapes(rest: SQL): SQL {
  return sql`SELECT ${STATE}, j.shape FROM jobs j ${rest}`
}
