// A copy of the database file while control planes work with it: one moment of it, whole, checked, on the disk, readable
// by its owner only. It takes no lock that a writer waits for. It never leaves half a file under the name that was asked
// for, and never replaces a file unless told to. A libSQL server has its own ways; this is for a file.
import { link, open, rename, rm, stat } from 'node:fs/promises'
import { dirname } from 'node:path'
import { createClient, type Client } from '@libsql/client'
import { AppError } from '../../shared/errors.ts'
import { toAppError } from './failures.ts'
import { pathOf } from './file-db.ts'

export interface BackupOptions {
  /** `file:…` */
  readonly url: string
  readonly file: string
  /** Replace a file that is there. */
  readonly force: boolean
}

export interface Copied {
  readonly sizeBytes: number
  readonly liveJobs: number
  readonly incarnation: number
}

/** A reader of another connection's file waits for short locks only: WAL lets it read beside a writer. */
const LOCK_WAIT_MS = 6_000

export async function backUp({ url, file, force }: BackupOptions): Promise<Copied> {
  const path = filePathOf(url, 'back up')
  // Before the work, for the sentence; what decides is the link at the end.
  if (!force && (await exists(file))) throw taken(file)
  if (!(await exists(path))) throw new AppError('not_found', `There is no database "${path}".`)
  const draft = `${file}.partial-${process.pid}`
  try {
    await writeCopy(url, draft)
    const copied = await inspect(draft)
    await publish(draft, file, force)
    return copied
  } finally {
    await rm(draft, { force: true })
  }
}

/** The path of a database file; a server is refused. */
export function filePathOf(url: string, what: string): string {
  if (url.startsWith('file:')) return pathOf(url)
  throw new AppError('bad_request', `Cannot ${what} a libSQL server from here: use its own backups.`)
}

export function connectTo(path: string, lockWaitMs = LOCK_WAIT_MS): Client {
  return createClient({ url: `file:${encodeURI(path)}`, concurrency: 1, timeout: lockWaitMs })
}

async function writeCopy(url: string, draft: string): Promise<void> {
  // VACUUM INTO takes an empty file as none, and keeps its mode.
  await (await open(draft, 'wx', 0o600)).close()
  const client = createClient({ url, concurrency: 1, timeout: LOCK_WAIT_MS })
  try {
    await client.execute({ sql: 'VACUUM INTO ?', args: [draft] })
  } catch (error) {
    throw new AppError('unavailable', `The database could not be copied: ${toAppError(error).message}`, {
      cause: error,
    })
  } finally {
    client.close()
  }
}

/** What a copy holds. Throws unless it is whole and a database of ours. */
export async function inspect(path: string): Promise<Copied> {
  const client = connectTo(path)
  try {
    const [check, incarnation, live] = await client.batch(
      [
        'PRAGMA integrity_check',
        'SELECT number FROM incarnation',
        "SELECT COUNT(*) AS count FROM jobs WHERE phase <> 'finished'",
      ],
      'read',
    )
    const verdict = check?.rows[0]?.['integrity_check'] as string
    if (verdict !== 'ok') throw new AppError('internal', `"${path}" is damaged: ${verdict}`)
    return {
      sizeBytes: (await stat(path)).size,
      liveJobs: Number(live?.rows[0]?.['count']),
      incarnation: Number(incarnation?.rows[0]?.['number']),
    }
  } catch (error) {
    throw new AppError('internal', `"${path}" is no whole database of Dray: ${toAppError(error).message}`, {
      cause: error,
    })
  } finally {
    client.close()
  }
}

/** Gives the draft its name once all of it is on the disk. */
async function publish(draft: string, file: string, force: boolean): Promise<void> {
  await sync(draft)
  if (force) await rename(draft, file)
  else await linkOnce(draft, file)
  await sync(dirname(file))
}

/** Unlike a rename, a link is refused where the name is taken. */
async function linkOnce(draft: string, file: string): Promise<void> {
  try {
    await link(draft, file)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') throw taken(file)
    throw error
  }
}

export async function sync(path: string): Promise<void> {
  const handle = await open(path, 'r')
  try {
    await handle.sync()
  } finally {
    await handle.close()
  }
}

export function exists(path: string): Promise<boolean> {
  return stat(path).then(
    () => true,
    (error: NodeJS.ErrnoException) => {
      if (error.code === 'ENOENT') return false
      throw error
    },
  )
}

function taken(file: string): AppError {
  return new AppError('conflict', `"${file}" is there already.`, { hint: 'Give another name, or --force.' })
}
