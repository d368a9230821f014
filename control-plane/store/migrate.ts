// Brings a database to the present schema: the files of migrations/ in the order of their names, each in a transaction
// of its own together with its line in the table `migrations`. Safe to run at every start and by several processes at
// once. A database that a newer version has migrated is refused, because its rows may mean something else.
import { readdir, readFile } from 'node:fs/promises'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Client } from '@libsql/client'
import { AppError } from '../../shared/errors.ts'
import { isBusy } from './failures.ts'

const FOLDER = new URL('./migrations/', import.meta.url)
const LOCK_WAIT_MS = 10_000
const LOCK_POLL_MS = 25

/** Returns the names of the migrations that were applied now. */
export async function migrate(client: Client): Promise<readonly string[]> {
  const names = (await readdir(FOLDER)).filter((name) => name.endsWith('.sql')).toSorted()
  const known = await appliedNames(client)
  for (const name of known)
    if (!names.includes(name))
      throw new AppError('internal', `The database has migration "${name}", which this version does not know.`, {
        hint: 'Start the version of Dray that migrated it, or restore a backup.',
      })
  const applied: string[] = []
  for (const name of names) {
    if (known.includes(name)) continue
    const text = await readFile(new URL(name, FOLDER), 'utf8')
    if (await retryWhileLocked(() => applyOnce(client, name, text))) applied.push(name)
  }
  return applied
}

async function appliedNames(client: Client): Promise<string[]> {
  const tables = await client.execute("SELECT name FROM sqlite_master WHERE type = 'table' AND name = 'migrations'")
  if (tables.rows.length === 0) return []
  const { rows } = await client.execute('SELECT name FROM migrations ORDER BY name')
  return rows.map(({ name }) => name as string)
}

/** False where another process was faster. */
async function applyOnce(client: Client, name: string, text: string): Promise<boolean> {
  const transaction = await client.transaction('deferred')
  try {
    // Takes the write lock, as in writer-queue.ts: only exec leaves the connection usable where it meets a lock.
    await transaction.executeMultiple(
      'CREATE TABLE IF NOT EXISTS migrations (name TEXT PRIMARY KEY, applied_at TEXT NOT NULL);' +
        'DELETE FROM migrations WHERE 0',
    )
    const { rows } = await transaction.execute({ sql: 'SELECT 1 FROM migrations WHERE name = ?', args: [name] })
    if (rows.length > 0) return false
    await transaction.executeMultiple(text)
    await transaction.execute({
      sql: "INSERT INTO migrations (name, applied_at) VALUES (?, datetime('now'))",
      args: [name],
    })
    await transaction.commit()
    return true
  } finally {
    transaction.close()
  }
}

async function retryWhileLocked<T>(attempt: () => Promise<T>): Promise<T> {
  const end = performance.now() + LOCK_WAIT_MS
  for (;;) {
    try {
      return await attempt()
    } catch (error) {
      if (!isBusy(error) || performance.now() > end) throw error
    }
    await sleep(LOCK_POLL_MS)
  }
}
