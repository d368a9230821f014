// Agents as operators and the join see them. Each method is one round trip. Deleting an agent ends its key at once; its
// jobs lapse with the next sweep, because an agent that is not there has no lease.
import { sql } from 'drizzle-orm'
import type { JobRecord } from '../../shared/job.ts'
import type { AgentRecord, JobKey, NewAgent, Page } from '../core/ports.ts'
import { AGENT_COLUMNS, selectAgents } from './agent-select.ts'
import { readCursor, writeCursor } from './cursor.ts'
import { json, NOW, type Db } from './db.ts'
import { selectRecords } from './job-select.ts'
import { agentOf, recordOf } from './rows.ts'

/**
 * A join token serves any number of machines until it expires. One that names a pool decides the pool: it is what an
 * operator gave away, and the machine may only ask. A new agent has no lease before its first beat.
 */
export async function joinAgent(db: Db, agent: NewAgent, tokenHash: string): Promise<AgentRecord | 'bad_token'> {
  const results = await db.write([
    sql`INSERT INTO agents (id, nkey, key_hash, name, pool, labels, version, protocol, capacity, posture, boot_id,
        session, lease_until, joined_at)
      SELECT ${agent.id}, ${agent.nkey}, ${agent.keyHash}, ${agent.name}, COALESCE(t.pool, ${agent.pool}),
        ${json(agent.labels)}, ${agent.version}, ${agent.protocol}, ${json(agent.capacity)}, ${json(agent.posture)},
        ${agent.bootId}, ${agent.session}, ${NOW}, ${NOW}
      FROM join_tokens t WHERE t.token_hash = ${tokenHash} AND (t.expires_at IS NULL OR t.expires_at > ${NOW})
      ON CONFLICT (nkey) DO UPDATE SET key_hash = excluded.key_hash, name = excluded.name, pool = excluded.pool,
        labels = excluded.labels, version = excluded.version, protocol = excluded.protocol,
        capacity = excluded.capacity, posture = excluded.posture, boot_id = excluded.boot_id,
        session = excluded.session, beat = 0`,
    sql`INSERT INTO agent_sessions (agent, session, first_seen_at)
      SELECT id, session, ${NOW} FROM agents WHERE nkey = ${agent.nkey} AND key_hash = ${agent.keyHash}
      ON CONFLICT DO NOTHING`,
    selectAgents(sql`WHERE nkey = ${agent.nkey} AND key_hash = ${agent.keyHash}`),
  ])
  const row = results.at(-1)?.[0]
  return row ? agentOf(row) : 'bad_token'
}

export async function agentAndJob(
  db: Db,
  keyHash: string,
  job: JobKey | null,
): Promise<readonly [AgentRecord | null, JobRecord | null]> {
  const agentRead = selectAgents(sql`WHERE key_hash = ${keyHash}`)
  const jobRead = job ? [selectRecords(sql`WHERE j.tenant = ${job.tenant} AND j.id = ${job.job}`)] : []
  const [agents, jobs] = await db.read([agentRead, ...jobRead])
  return [agents?.[0] ? agentOf(agents[0]) : null, jobs?.[0] ? recordOf(jobs[0]) : null]
}

export async function readAgent(db: Db, id: string): Promise<AgentRecord | null> {
  const [rows] = await db.read([selectAgents(sql`WHERE id = ${id}`)])
  return rows?.[0] ? agentOf(rows[0]) : null
}

/** Newest first. */
export async function listAgents(
  db: Db,
  { limit, cursor }: { readonly limit: number; readonly cursor: string | null },
): Promise<Page<AgentRecord>> {
  const place = cursor === null ? null : readCursor(cursor)
  const where = place ? sql`WHERE (joined_at, id) < (${place.atMs}, ${place.id})` : sql.empty()
  const [rows] = await db.read([selectAgents(sql`${where} ORDER BY joined_at DESC, id DESC LIMIT ${limit + 1}`)])
  const items = (rows ?? []).slice(0, limit).map(agentOf)
  const last = items.at(-1)
  const more = last && (rows?.length ?? 0) > limit
  return { items, cursor: more ? writeCursor({ atMs: last.joinedAtMs, id: last.id }) : null }
}

export async function setAgentFlags(
  db: Db,
  id: string,
  flags: { readonly cordoned?: boolean; readonly draining?: boolean },
): Promise<AgentRecord | null> {
  const flag = (value: boolean | undefined): number | null => (value === undefined ? null : Number(value))
  const [rows] = await db.write([
    sql`UPDATE agents SET cordoned = COALESCE(${flag(flags.cordoned)}, cordoned),
        draining = COALESCE(${flag(flags.draining)}, draining)
      WHERE id = ${id} RETURNING ${AGENT_COLUMNS}`,
  ])
  return rows?.[0] ? agentOf(rows[0]) : null
}

export async function leaveAgent(db: Db, id: string, session: string): Promise<boolean> {
  const [rows] = await db.write([
    sql`UPDATE agents SET lease_until = ${NOW} WHERE id = ${id} AND session = ${session} RETURNING id`,
  ])
  return (rows?.length ?? 0) > 0
}

export async function deleteAgent(db: Db, id: string): Promise<boolean> {
  const results = await db.write([
    sql`DELETE FROM agent_sessions WHERE agent = ${id}`,
    sql`DELETE FROM agents WHERE id = ${id} RETURNING id`,
  ])
  return (results.at(-1)?.length ?? 0) > 0
}
