// Makes a backup the database, while no control plane has the old one open, and begins the next incarnation: jobs went on
// after the backup was made, and what became of them is not in it.
//
//   attempts   Numbers that may have been used since are skipped, 1,000 for each life of the database, so that no attempt
//              of before and none of after share a subject or a cursor. Only `failures` counts against max_attempts.
//   claimed    An attempt that its agent still holds goes on and ends the job; one that it holds no more lapses with its
//              next beat, and the job's retries decide. One of a later number is unknown here, and stopped by that beat.
//   assigned   Waits again: whether it was claimed since, nobody knows.
//   agents     Which of their processes is the newest is forgotten: the first that beats is. Until then, claims and
//              finishes are told to ask again. No lease is judged by the time that the backup lay around.
//
// The old database is moved aside and kept. A crash in between leaves either the old one or the new one in its place.
import { copyFile, chmod, rename, rm } from 'node:fs/promises'
import { dirname } from 'node:path'
import type { Client } from '@libsql/client'
import { sql } from 'drizzle-orm'
import { transition } from '../../shared/job-machine.ts'
import { AppError } from '../../shared/errors.ts'
import { connectTo, exists, filePathOf, inspect, sync } from './backup.ts'
import { NOW, render, rowsOf, type Db } from './db.ts'
import { isBusy, toAppError } from './failures.ts'
import { selectRecords } from './job-select.ts'
import { commit } from './jobs-commit.ts'
import { migrate } from './migrate.ts'
import { recordOf } from './rows.ts'

export interface RestoreOptions {
  /** `file:…`: where the database is to be. */
  readonly url: string
  readonly file: string
  /** Also where the old database cannot be read: whether it is in use is then yours to know. */
  readonly force: boolean
}

export interface Restored {
  readonly liveJobs: number
  readonly incarnation: number
  /** Where the old database is now, if there was one. */
  readonly movedTo: string | null
}

const SKIPPED_ATTEMPTS = 1_000
const PAGE = 200
/** Somebody's look at the file may pass; a control plane stays. */
const BRIEF_LOCK_MS = 200
const SIDE_FILES = ['', '-wal', '-shm']

export async function restore({ url, file, force }: RestoreOptions): Promise<Restored> {
  const path = filePathOf(url, 'restore')
  const backup = await inspect(file)
  const old = await openAlone(path, force)
  const draft = `${path}.restoring`
  try {
    await removeAll(draft)
    await copyFile(file, draft)
    await chmod(draft, 0o600)
    const incarnation = Math.max(backup.incarnation, old?.incarnation ?? 0) + 1
    await beginIncarnation(draft, incarnation, SKIPPED_ATTEMPTS * (incarnation - backup.incarnation))
    await sync(draft)
    const movedTo = old ? await moveAside(path) : null
    await rename(draft, path)
    await sync(dirname(path))
    return { liveJobs: backup.liveJobs, incarnation, movedTo }
  } finally {
    await removeAll(draft)
    old?.close()
  }
}

interface OldDatabase {
  readonly incarnation: number
  close(): void
}

/**
 * The old database, locked against everybody. In WAL mode each connection of SQLite keeps a shared lock on the file for
 * as long as it is open, so an exclusive one is only to be had where no process has it open; a dead one has no locks.
 */
async function openAlone(path: string, force: boolean): Promise<OldDatabase | null> {
  if (!(await exists(path))) return null
  const client = connectTo(path, BRIEF_LOCK_MS)
  const close = (): void => client.close()
  try {
    // Through exec, because libsql never resets a prepared statement that met a lock (writer-queue.ts).
    await client.executeMultiple('PRAGMA locking_mode = EXCLUSIVE; BEGIN EXCLUSIVE; COMMIT')
    const { rows } = await client.execute('SELECT number FROM incarnation')
    await client.execute('PRAGMA wal_checkpoint(TRUNCATE)')
    return { incarnation: Number(rows[0]?.['number']), close }
  } catch (error) {
    if (isBusy(error)) {
      close()
      throw new AppError('conflict', `A process has the database "${path}" open.`, {
        hint: 'Stop every control plane (and backup) that uses it, then restore.',
      })
    }
    if (force) return { incarnation: 0, close }
    close()
    throw new AppError('unavailable', `The database "${path}" cannot be read: ${toAppError(error).message}`, {
      hint: 'If no control plane uses it, give --force: it is moved aside.',
      cause: error,
    })
  }
}

async function beginIncarnation(draft: string, incarnation: number, skipped: number): Promise<void> {
  const client = connectTo(draft)
  try {
    // A crash leaves a draft, which the next try throws away: what counts is the sync at the end.
    await client.executeMultiple('PRAGMA journal_mode = DELETE; PRAGMA synchronous = OFF')
    await migrate(client)
    const db = plainDb(client)
    await db.write([
      sql`UPDATE incarnation SET number = ${incarnation} WHERE id = 1`,
      // A lease that had run out at the last look stays so; the others get a fresh term from the first, blind, sweep.
      sql`UPDATE agents SET lease_until = 0 WHERE lease_until <= (SELECT at FROM sweep WHERE id = 1)`,
      sql`UPDATE sweep SET at = MIN(at, 1), watching_since = ${NOW} WHERE id = 1`,
      sql`DELETE FROM agent_sessions WHERE EXISTS
        (SELECT 1 FROM agents a WHERE a.id = agent_sessions.agent AND a.session = agent_sessions.session)`,
      sql`UPDATE agents SET session = '', beat = 0`,
    ])
    await skipAttempts(db, skipped)
  } finally {
    client.close()
  }
}

/** Every live job, through the one function that moves jobs; page by page, because a queue may be long. */
async function skipAttempts(db: Db, skipped: number): Promise<void> {
  let last = 0
  for (;;) {
    const [rows = []] = await db.read([
      selectRecords(
        sql`WHERE j.phase <> 'finished' AND j.rowid > ${last} ORDER BY j.rowid LIMIT ${PAGE}`,
        sql`, j.rowid AS place`,
      ),
    ])
    if (rows.length === 0) return
    last = Number(rows.at(-1)?.['place'])
    for (const row of rows) {
      const before = recordOf(row).state
      const event = { type: 'restored', skipped } as const
      const next = transition(before, event)
      if (!next.ok || !(await commit(db, { before, after: next.job, event, reason: 'a backup became the database' })))
        throw new AppError('internal', `Job "${before.id}" cannot be restored.`)
    }
  }
}

/** Of a file that nobody else knows. */
function plainDb(client: Client): Db {
  const read: Db['read'] = async (statements) => rowsOf(await client.batch(statements.map(render), 'read'))
  return {
    read,
    glance: read,
    write: async (statements) => rowsOf(await client.batch(statements.map(render), 'write')),
    close: () => Promise.resolve(client.close()),
  }
}

/** Log and index first, though both are empty: a new database must never meet the log of an old one. */
async function moveAside(path: string): Promise<string> {
  const aside = `${path}.before-restore-${new Date().toISOString().replaceAll(/[:.]/g, '-')}`
  for (const suffix of SIDE_FILES.toReversed())
    if (await exists(path + suffix)) await rename(path + suffix, aside + suffix)
  return aside
}

async function removeAll(draft: string): Promise<void> {
  for (const suffix of [...SIDE_FILES, '-journal']) await rm(draft + suffix, { force: true })
}
