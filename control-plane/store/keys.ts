// API keys and join tokens, by the SHA-256 of what their owners hold. A key that has expired is not found.
import { sql } from 'drizzle-orm'
import type { JoinTokenRecord, KeyRecord } from '../core/ports.ts'
import { NOW, type Db } from './db.ts'
import { keyOf } from './rows.ts'

const COLUMNS = sql.raw('id, tenant, role, name, created_at, expires_at')

export async function keyByHash(db: Db, hash: string): Promise<KeyRecord | null> {
  const [rows] = await db.read([
    sql`SELECT ${COLUMNS} FROM api_keys WHERE key_hash = ${hash} AND (expires_at IS NULL OR expires_at > ${NOW})`,
  ])
  return rows?.[0] ? keyOf(rows[0]) : null
}

/** A tenant begins with its first key. */
export async function createKey(db: Db, key: KeyRecord, hash: string): Promise<void> {
  await db.write([
    sql`INSERT INTO tenants (id, created_at) VALUES (${key.tenant}, ${NOW}) ON CONFLICT DO NOTHING`,
    sql`INSERT INTO api_keys (id, key_hash, tenant, role, name, created_at, expires_at)
      VALUES (${key.id}, ${hash}, ${key.tenant}, ${key.role}, ${key.name}, ${key.createdAtMs}, ${key.expiresAtMs})`,
  ])
}

export async function listKeys(db: Db, tenant: string | null): Promise<readonly KeyRecord[]> {
  const where = tenant === null ? sql.empty() : sql`WHERE tenant = ${tenant}`
  const [rows] = await db.read([sql`SELECT ${COLUMNS} FROM api_keys ${where} ORDER BY created_at DESC, id DESC`])
  return (rows ?? []).map(keyOf)
}

export async function deleteKey(db: Db, id: string): Promise<boolean> {
  const [rows] = await db.write([sql`DELETE FROM api_keys WHERE id = ${id} RETURNING id`])
  return (rows?.length ?? 0) > 0
}

export async function hasKeys(db: Db): Promise<boolean> {
  const [rows] = await db.read([sql`SELECT 1 FROM api_keys LIMIT 1`])
  return (rows?.length ?? 0) > 0
}

export async function createJoinToken(db: Db, token: JoinTokenRecord, hash: string): Promise<void> {
  await db.write([
    sql`INSERT INTO join_tokens (id, token_hash, pool, created_at, expires_at)
      VALUES (${token.id}, ${hash}, ${token.pool}, ${token.createdAtMs}, ${token.expiresAtMs})`,
  ])
}
