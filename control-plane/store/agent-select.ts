// How agents are read: all columns, and whether the lease has run out by the database's clock at this moment.
import { sql, type SQL } from 'drizzle-orm'
import { NOW } from './db.ts'

/** Unqualified, so that they also stand after RETURNING. The hash of the key stays where it is. */
export const AGENT_COLUMNS = sql`id, name, pool, labels, nkey, version, protocol, capacity, posture, cordoned, draining, leaving,
  boot_id, session, beat, held, last_seen_at, joined_at, lease_until <= ${NOW} AS lease_expired`

export function selectAgents(rest: SQL): SQL {
  return sql`SELECT ${AGENT_COLUMNS} FROM agents ${rest}`
}
