// The heartbeat, in one batch: who is current, what is held, the lease, and all that the answer needs. A beat without
// news writes one row. Repeating the batch changes nothing more than the lease.
//
// Sessions: one that was never seen is the newest process of its agent and becomes current, unless its name tells that it
// began before the current one (shared/session-name.ts); one that is known and not current is an older process, and stays
// superseded for ever.
import { sql, type SQL } from 'drizzle-orm'
import type { HeldAttempt } from '../../shared/agent-protocol.ts'
import { START_LENGTH, startOf } from '../../shared/session-name.ts'
import type { AgentRecord, Beat, BeatResult } from '../core/ports.ts'
import { selectAgents } from './agent-select.ts'
import { json, jsonOrNull, NOW, type Db } from './db.ts'
import { selectRecords } from './job-select.ts'
import { agentOf, recordOf } from './rows.ts'

export async function recordBeat(db: Db, beat: Beat): Promise<BeatResult> {
  const isAgent = sql`WHERE ${isMeant(beat.agent)}`
  const results = await db.write([selectAgents(isAgent), ...writeBeat(beat), selectAgents(isAgent), selectWanted(beat)])
  const [before] = results[0] ?? []
  const [after] = results.at(-2) ?? []
  if (!before || !after) return { kind: 'gone' }
  const agent = agentOf(after)
  if (agent.session !== beat.session) return { kind: 'superseded' }
  return {
    kind: 'ok',
    agent,
    jobs: (results.at(-1) ?? []).map(recordOf),
    changed: hasNews(agentOf(before), agent),
  }
}

function isMeant(agent: Beat['agent']): SQL {
  return 'id' in agent ? sql`id = ${agent.id}` : sql`key_hash = ${agent.keyHash}`
}

function writeBeat(beat: Beat): SQL[] {
  const { session } = beat
  const isAgent = isMeant(beat.agent)
  // A beat that is not later than the last one of its process is a repeat: it only renews.
  const later = (value: SQL, column: SQL): SQL => sql`CASE WHEN ${beat.beat} > beat THEN ${value} ELSE ${column} END`
  return [
    sql`UPDATE agents SET session = ${session}, beat = 0 WHERE ${isAgent}
      AND NOT EXISTS (SELECT 1 FROM agent_sessions s WHERE s.agent = agents.id AND s.session = ${session})
      AND NOT ${beganBeforeCurrent(session)}`,
    sql`INSERT INTO agent_sessions (agent, session, first_seen_at)
      SELECT id, ${session}, ${NOW} FROM agents WHERE ${isAgent} ON CONFLICT DO NOTHING`,
    keepToldOfDropped(beat),
    sql`UPDATE agents SET
        lease_until = ${NOW} + ${beat.leaseMs}, lease_ms = ${beat.leaseMs}, last_seen_at = ${NOW},
        held = ${later(heldOf(beat), sql`held`)},
        leaving = ${later(sql`${Number(beat.leaving)}`, sql`leaving`)},
        boot_id = ${later(sql`${beat.bootId}`, sql`boot_id`)},
        capacity = ${later(sql`COALESCE(${jsonOrNull(beat.capacity ?? null)}, capacity)`, sql`capacity`)},
        posture = ${later(sql`COALESCE(${jsonOrNull(beat.posture ?? null)}, posture)`, sql`posture`)},
        beat = MAX(beat, ${beat.beat})
      WHERE ${isAgent} AND session = ${session}`,
  ]
}

/**
 * An attempt that the last list had and this one has not, and whose end was not told: its process died, and its container
 * is gone. How far it came is forgotten with the old list; after that only its row tells its readers what they miss.
 */
function keepToldOfDropped({ agent, session, beat, held }: Beat): SQL {
  return sql`UPDATE attempts SET told = dropped.n
    FROM (SELECT old.value ->> 'tenant' AS tenant, old.value ->> 'job' AS job, old.value ->> 'attempt' AS attempt,
        old.value ->> 'n' AS n
      FROM agents g, json_each(g.held) old
      WHERE g.rowid = (SELECT rowid FROM agents WHERE ${isMeant(agent)}) AND g.session = ${session} AND ${beat} > g.beat
        AND NOT EXISTS (SELECT 1 FROM json_each(${json(held)}) new WHERE ${sameAttempt})) dropped
    WHERE attempts.tenant = dropped.tenant AND attempts.job = dropped.job AND attempts.attempt = dropped.attempt
      AND attempts.finished_at IS NULL`
}

/** Of `agents.session`; false where one of both names tells no order. */
function beganBeforeCurrent(session: string): SQL {
  const start = startOf(session)
  if (start === null) return sql`0`
  return sql`(session GLOB 'life_*' AND ${start} < SUBSTR(session, 1, ${START_LENGTH}))`
}

const sameAttempt = sql.raw(
  ['tenant', 'job', 'attempt'].map((name) => `old.value ->> '${name}' = new.value ->> '${name}'`).join(' AND '),
)

/**
 * What the beat lists; of each attempt the furthest position that its agent ever told. A new process lists what it found
 * before it knows how far that came, and after a wiped stream nobody else knows it either.
 */
function heldOf({ held }: Beat): SQL {
  const field = (name: string): SQL => sql.raw(`old.value ->> '${name}'`)
  return sql`(SELECT json_group_array(json(CASE WHEN ${field('n')} > new.value ->> 'n'
      THEN json_patch(new.value, json_object('n', ${field('n')}, 'stdout_lines', ${field('stdout_lines')},
        'stderr_lines', ${field('stderr_lines')}))
      ELSE new.value END))
    FROM json_each(${json(held)}) new
    LEFT JOIN json_each(agents.held) old ON ${sameAttempt})`
}

/** Every live job whose assignment names this agent, and those that it holds without one. */
function selectWanted({ agent, held }: Beat): SQL {
  const keys = JSON.stringify(held.map(({ tenant, job }) => ({ tenant, job })))
  return selectRecords(sql`WHERE j.rowid IN (
      SELECT rowid FROM jobs WHERE agent = (SELECT id FROM agents WHERE ${isMeant(agent)})
      UNION
      SELECT w.rowid FROM json_each(${keys}) h
        JOIN jobs w ON w.tenant = h.value ->> 'tenant' AND w.id = h.value ->> 'job')
    ORDER BY j.created_at, j.id`)
}

/** Whether the scheduler may see more or other capacity than before. How far a job has come is no news to it. */
function hasNews(before: AgentRecord, after: AgentRecord): boolean {
  return (
    before.leaseExpired ||
    before.draining !== after.draining ||
    before.session !== after.session ||
    before.beat === 0 ||
    JSON.stringify(before.capacity) !== JSON.stringify(after.capacity) ||
    JSON.stringify(before.posture) !== JSON.stringify(after.posture) ||
    heldKeys(before.held) !== heldKeys(after.held)
  )
}

function heldKeys(held: readonly HeldAttempt[]): string {
  return held
    .map(({ tenant, job, attempt, phase }) => `${tenant}/${job}/${attempt}/${phase === 'finished' ? 'over' : ''}`)
    .toSorted()
    .join()
}
