// One writer for a database file. Batches that wait while a commit is under way go into the next one together: one
// fsync for all of them. Each runs inside its own savepoint, so one that fails leaves its neighbours whole, and each
// gets its own rows or its own error. Promises that a batch is reported as done only after its commit is on the disk.
//
// The loop ends when nothing waits; a group is bounded; the wait for another process's lock is bounded by `lockWaitMs`.
import { setTimeout as sleep } from 'node:timers/promises'
import type { Client, InStatement, ResultSet, Transaction } from '@libsql/client'
import { AppError } from '../../shared/errors.ts'
import { isBusy, toAppError } from './failures.ts'

export type Batch = readonly InStatement[]

export interface WriterQueue {
  write(batch: Batch): Promise<readonly ResultSet[]>
  /** Refuses new batches and resolves when the waiting ones are done. */
  close(): Promise<void>
}

export interface WriterQueueOptions {
  /** How long a group waits for a lock that another connection holds. */
  readonly lockWaitMs: number
  /** Called before each group; throws when the file can no longer be trusted. */
  readonly check: () => void
}

interface Waiting {
  readonly batch: Batch
  readonly resolve: (results: readonly ResultSet[]) => void
  readonly reject: (error: AppError) => void
}

/** Bounds how long one commit keeps the process busy: the file client works on this thread. */
const MAX_GROUP = 64
const LOCK_POLL_MS = 8

export function createWriterQueue(client: Client, options: WriterQueueOptions): WriterQueue {
  const waiting: Waiting[] = []
  let closed = false
  let draining: Promise<void> | null = null

  const drain = async (): Promise<void> => {
    // Whatever arrives in the same turn of the event loop shares the first commit too.
    await new Promise((resolve) => setImmediate(resolve))
    while (waiting.length > 0) await commitGroup(client, waiting.splice(0, MAX_GROUP), options)
    draining = null
  }

  return {
    write(batch) {
      if (closed) return Promise.reject(new AppError('unavailable', 'The database is closed.'))
      return new Promise((resolve, reject) => {
        waiting.push({ batch, resolve, reject })
        draining ??= drain()
      })
    },
    async close() {
      closed = true
      await draining
    },
  }
}

/** Never throws: each member of the group learns its own fate. */
async function commitGroup(client: Client, group: readonly Waiting[], options: WriterQueueOptions): Promise<void> {
  const done: (() => void)[] = []
  let transaction: Transaction | null = null
  try {
    options.check()
    transaction = await begin(client, options.lockWaitMs)
    for (const member of group) done.push(await runMember(transaction, member))
    await transaction.commit()
  } catch (error) {
    for (const { reject } of group) reject(toAppError(error))
    return
  } finally {
    transaction?.close()
  }
  for (const tell of done) tell()
}

/** Runs one batch in its savepoint. What it returns tells the outcome, once the commit stands. */
async function runMember(transaction: Transaction, { batch, resolve, reject }: Waiting): Promise<() => void> {
  await transaction.execute('SAVEPOINT member')
  try {
    const results = await transaction.batch([...batch])
    await transaction.execute('RELEASE member')
    return () => resolve(results)
  } catch (error) {
    // A full disk ends the whole transaction: then this throws, and the group fails as one.
    await transaction.execute('ROLLBACK TO member')
    await transaction.execute('RELEASE member')
    return () => reject(toAppError(error))
  }
}

/**
 * Takes the write lock. Not with BEGIN IMMEDIATE: libsql never resets a prepared statement that met a lock, and its
 * connection then cannot commit any more ("SQL statements in progress"). A deferred BEGIN meets no lock, and a write of
 * nothing through exec, which is always reset, takes the lock. Waiting is done here and not by busy_timeout, because
 * that would stop the whole process.
 */
async function begin(client: Client, lockWaitMs: number): Promise<Transaction> {
  const end = performance.now() + lockWaitMs
  for (;;) {
    const transaction = await client.transaction('deferred')
    try {
      await transaction.executeMultiple('DELETE FROM scheduler WHERE 0')
      return transaction
    } catch (error) {
      transaction.close()
      if (!isBusy(error) || performance.now() > end) throw error
    }
    await sleep(LOCK_POLL_MS * (0.5 + Math.random()))
  }
}
