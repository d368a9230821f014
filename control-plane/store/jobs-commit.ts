// Compare-and-set of one job in one batch, without an interactive transaction. The first statement inserts the
// transition of the next rev, if the row still is `before` and every guard holds; the primary key lets one writer win.
// Each later statement asks for that transition with this writer's own token, because a batch does not stop at a
// statement that changed nothing. The last one reads whose token it is. Running the same batch twice changes nothing.
import { sql, type SQL } from 'drizzle-orm'
import type { JobEvent } from '../../shared/job-machine.ts'
import type { JobState } from '../../shared/job.ts'
import type { AttemptFacts, Change, Guard } from '../core/ports.ts'
import { json, jsonOrNull, NOW, type Db } from './db.ts'

export async function commit(db: Db, change: Change): Promise<boolean> {
  const token = crypto.randomUUID()
  const statements = [
    ...(change.guard?.kind === 'scheduler' ? [bumpScheduler(change.guard.rev, token)] : []),
    ...changeStatements(change, token),
    sql`SELECT 1 FROM transitions t WHERE ${isMine(change.after, token)}`,
  ]
  return ((await db.write(statements)).at(-1)?.length ?? 0) > 0
}

/** The schedule is still what `rev` was read with: from now on it is one further, by this token. */
export function bumpScheduler(rev: number, token: string): SQL {
  return sql`UPDATE scheduler SET rev = rev + 1, token = ${token} WHERE id = 1 AND rev = ${rev}`
}

export function isMine(after: JobState, token: string): SQL {
  return sql`t.tenant = ${after.tenant} AND t.job = ${after.id} AND t.rev = ${after.rev} AND t.token = ${token}`
}

/** The lock and all that it protects. */
export function changeStatements(change: Change, token: string): SQL[] {
  const { before, after, event, reason } = change
  const mine = sql`EXISTS (SELECT 1 FROM transitions t WHERE ${isMine(after, token)})`
  const lock = sql`INSERT INTO transitions (tenant, job, rev, token, event, at, status, phase, reason)
    SELECT ${after.tenant}, ${after.id}, ${after.rev}, ${token}, ${event.type}, ${NOW}, ${after.status}, ${after.phase},
      ${reason ?? null}
    FROM jobs j
    WHERE j.tenant = ${before.tenant} AND j.id = ${before.id} AND j.rev = ${before.rev} AND j.status = ${before.status}
      AND j.phase = ${before.phase} AND ${guardSql(change.guard, token)}
    ON CONFLICT (tenant, job, rev) DO NOTHING`
  return [lock, updateJob(change, mine), ...attemptStatements(change, mine)]
}

function guardSql(guard: Guard | undefined, token: string): SQL {
  switch (guard?.kind) {
    case undefined:
      return sql`true`
    case 'lease_expired':
      // An agent that was deleted has no lease either.
      return sql`NOT EXISTS (SELECT 1 FROM agents WHERE id = ${guard.agent} AND lease_until > ${NOW})`
    case 'session':
      return sql`EXISTS (SELECT 1 FROM agents WHERE id = ${guard.agent} AND session = ${guard.session})`
    case 'scheduler':
      return sql`EXISTS (SELECT 1 FROM scheduler WHERE id = 1 AND token = ${token})`
  }
}

function updateJob(change: Change, mine: SQL): SQL {
  const { before, after } = change
  const { assignment } = after
  const set = [
    sql`rev = ${after.rev}, status = ${after.status}, phase = ${after.phase}, attempt = ${after.attempt}`,
    sql`failures = ${after.failures}, cancel = ${jsonOrNull(after.cancel)}, assignment = ${jsonOrNull(assignment)}`,
    sql`agent = ${assignment?.agent ?? null}, assigned_attempt = ${assignment?.attempt ?? null}`,
    sql`finished_by = ${jsonOrNull(after.finishedBy)}, result = ${json(after.result)}`,
    sql`error = ${jsonOrNull(after.error)}, exit = ${jsonOrNull(after.exit)}`,
    ...timesOf(change),
  ]
  return sql`UPDATE jobs SET ${sql.join(set, sql`, `)}
    WHERE tenant = ${before.tenant} AND id = ${before.id} AND rev = ${before.rev} AND ${mine}`
}

function timesOf({ before, after, attempt, notBeforeMs }: Change): SQL[] {
  const times: SQL[] = []
  if (after.phase !== before.phase) times.push(sql`phase_since = ${NOW}`)
  // An assignment that was taken back goes on waiting where it was, or its queue_ttl would never end.
  if (after.phase === 'queued' && before.phase !== 'assigned') times.push(sql`queued_at = ${NOW}`)
  if (notBeforeMs !== undefined) times.push(sql`not_before = ${NOW} + ${Math.ceil(notBeforeMs)}`)
  if (after.phase === 'reconnecting' && before.phase !== 'reconnecting') times.push(sql`lapsed_at = ${NOW}`)
  const startedAt = attempt?.startedAtMs ?? (after.phase === 'running' ? NOW : null)
  if (startedAt !== null) times.push(sql`started_at = COALESCE(started_at, ${startedAt})`)
  if (after.phase === 'finished') times.push(sql`finished_at = ${NOW}`)
  return times
}

function attemptStatements(change: Change, mine: SQL): SQL[] {
  const { before, after, event, attempt: facts } = change
  const statements: SQL[] = []
  if (event.type === 'claimed') statements.push(insertAttempt(after, event, mine))
  if (facts) statements.push(...fillAttempt(after, facts, mine))
  const ended = before.assignment
  // One that was lost says nothing of its end any more; how far it came is in the last list of what its agent held.
  if (ended && ended.session !== null && after.assignment === null)
    statements.push(sql`UPDATE attempts SET finished_at = ${NOW}, told = COALESCE(${lastTold}, told)
      WHERE ${isAttempt(after, ended.attempt)} AND finished_at IS NULL AND ${mine}`)
  return statements
}

/** Of a row of attempts. */
const lastTold = sql`(SELECT h.value ->> 'n' FROM agents g, json_each(g.held) h WHERE g.id = attempts.agent
  AND h.value ->> 'tenant' = attempts.tenant AND h.value ->> 'job' = attempts.job AND h.value ->> 'attempt' = attempts.attempt)`

function insertAttempt(after: JobState, claim: Extract<JobEvent, { type: 'claimed' }>, mine: SQL): SQL {
  const { session, beat } = claim
  const gpus = json(after.assignment?.gpus ?? [])
  // Adoption claims an attempt that has its row: only who holds it is news.
  return sql`INSERT INTO attempts (tenant, job, attempt, agent, session, claim_beat, gpus, claimed_at)
    SELECT ${after.tenant}, ${after.id}, ${claim.attempt}, ${claim.agent}, ${session}, ${beat}, ${gpus}, ${NOW} WHERE ${mine}
    ON CONFLICT (tenant, job, attempt) DO UPDATE SET session = excluded.session, claim_beat = excluded.claim_beat`
}

function fillAttempt(after: JobState, facts: AttemptFacts, mine: SQL): SQL[] {
  const set: SQL[] = []
  if (facts.imageDigest !== undefined) set.push(sql`image_digest = ${facts.imageDigest}`)
  if (facts.startedAtMs !== undefined) set.push(sql`started_at = ${facts.startedAtMs}`)
  if (facts.finishedAtMs !== undefined) set.push(sql`finished_at = ${facts.finishedAtMs}`)
  if (facts.updates !== undefined) set.push(sql`updates = ${facts.updates}`)
  if (facts.exit !== undefined) set.push(sql`exit = ${json(facts.exit)}`)
  if (facts.error !== undefined) set.push(sql`error = ${jsonOrNull(facts.error)}`)
  if (set.length === 0) return []
  return [sql`UPDATE attempts SET ${sql.join(set, sql`, `)} WHERE ${isAttempt(after, facts.attempt)} AND ${mine}`]
}

function isAttempt({ tenant, id }: JobState, attempt: number): SQL {
  return sql`tenant = ${tenant} AND job = ${id} AND attempt = ${attempt}`
}
