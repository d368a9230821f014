// The port StreamLedger: one row. Several control planes may note the same change at once; one of them is told.
import { sql, type SQL } from 'drizzle-orm'
import type { StreamChange, StreamSeen } from '../core/stream-ledger.ts'
import type { Db } from './db.ts'

export async function lastStream(db: Db): Promise<StreamSeen | null> {
  const [rows] = await db.read([sql`SELECT created, last_seq FROM updates_stream WHERE id = 1`])
  const row = rows?.[0]
  return row ? { created: row['created'] as string, lastSeq: Number(row['last_seq']) } : null
}

export async function noteStream(db: Db, before: StreamSeen | null, now: StreamSeen): Promise<StreamChange | null> {
  const change = changeOf(before, now)
  if (before && change === null && now.lastSeq === before.lastSeq) return null
  const [rows] = await db.write([statementOf(before, now, change)])
  return (rows?.length ?? 0) > 0 ? change : null
}

function changeOf(before: StreamSeen | null, now: StreamSeen): StreamChange | null {
  if (!before) return 'first'
  if (before.created !== now.created) return 'recreated'
  return now.lastSeq < before.lastSeq ? 'rolled back' : null
}

function statementOf(before: StreamSeen | null, now: StreamSeen, change: StreamChange | null): SQL {
  if (!before)
    return sql`INSERT INTO updates_stream (id, created, last_seq) VALUES (1, ${now.created}, ${now.lastSeq})
      ON CONFLICT (id) DO NOTHING RETURNING id`
  if (change === null)
    return sql`UPDATE updates_stream SET last_seq = MAX(last_seq, ${now.lastSeq})
      WHERE id = 1 AND created = ${now.created}`
  return sql`UPDATE updates_stream SET created = ${now.created}, last_seq = ${now.lastSeq}, changes = changes + 1
    WHERE id = 1 AND created = ${before.created} AND last_seq >= ${before.lastSeq} RETURNING id`
}
