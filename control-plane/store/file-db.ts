// libSQL as a file on this machine. Two connections: one writes, through the queue; one reads, and in WAL mode waits for
// no writer. Both use synchronous=FULL, so an answered write survives a power cut.
//
// The file client runs SQLite on this thread. A read takes 20 µs to 1 ms and a commit one fsync: cheaper than a worker.
import { statSync } from 'node:fs'
import { createClient, type Client } from '@libsql/client'
import { AppError } from '../../shared/errors.ts'
import { render, rowsOf, type Db } from './db.ts'
import { toAppError } from './failures.ts'
import { migrate } from './migrate.ts'
import { createWriterQueue } from './writer-queue.ts'

/** Another process on the same file (a backup, a second control plane) may hold its lock this long. */
const LOCK_WAIT_MS = 6_000
/** SQLite's own wait stops this thread, so it only covers the short locks. */
const NATIVE_WAIT_MS = 2

export async function openFileDb(url: string): Promise<Db> {
  const path = pathOf(url)
  const clients: Client[] = []
  try {
    const writer = await connect(url)
    clients.push(writer)
    await migrate(writer)
    const reader = await connect(url)
    clients.push(reader)
    return createFileDb(path, writer, reader)
  } catch (error) {
    for (const client of clients) client.close()
    throw openFailure(path, error)
  }
}

function createFileDb(path: string, writer: Client, reader: Client): Db {
  const check = createFileCheck(path)
  const queue = createWriterQueue(writer, { lockWaitMs: LOCK_WAIT_MS, check })
  const read: Db['read'] = async (statements) => {
    try {
      check()
      return rowsOf(await reader.batch(statements.map(render), 'read'))
    } catch (error) {
      throw toAppError(error)
    }
  }
  return {
    read,
    glance: read,
    async write(statements) {
      return rowsOf(await queue.write(statements.map(render)))
    },
    async close() {
      await queue.close()
      reader.close()
      writer.close()
    },
  }
}

/** One connection a client, so that what is set here holds for all that the client does. */
async function connect(url: string): Promise<Client> {
  const client = createClient({ url, concurrency: 1, timeout: NATIVE_WAIT_MS })
  await client.execute('PRAGMA journal_mode = WAL')
  await client.execute('PRAGMA synchronous = FULL')
  return client
}

/** SQLite goes on writing into a file that was deleted, and says nothing: such writes would be promises to nobody. */
function createFileCheck(path: string): () => void {
  const { ino } = statSync(path)
  return () => {
    if (statSync(path, { throwIfNoEntry: false })?.ino !== ino)
      throw new AppError(
        'unavailable',
        `The database file "${path}" is gone or was replaced: restart the control plane.`,
      )
  }
}

/** The file that libsql opens for this address: `file:dray.db`, `file:/var/dray.db`, `file:///var/dray.db`. */
export function pathOf(url: string): string {
  const [path = ''] = url.replace(/^file:(\/\/(localhost)?(?=\/))?/, '').split(/[?#]/)
  return decodeURIComponent(path)
}

function openFailure(path: string, error: unknown): AppError {
  const failure = toAppError(error)
  return new AppError(failure.code, `Cannot open the database "${path}": ${failure.message}`, { cause: error })
}
