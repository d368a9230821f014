// The control plane's database on a machine: a file (`file:…`, migrated when it is opened) or a libSQL server
// (`libsql:`, `http:`, `https:`). Over HTTP nothing is migrated here: `dray control-plane migrate` does that once, and
// many instances start often. workerd takes job-store.ts and remote-db.ts alone, which need nothing of Node.
import { createClient } from '@libsql/client'
import type { JobStore, Log } from '../core/ports.ts'
import type { StreamLedger } from '../core/stream-ledger.ts'
import { openFileDb } from './file-db.ts'
import { createJobStore } from './job-store.ts'
import { migrate } from './migrate.ts'
import { openRemoteDb } from './remote-db.ts'

export interface LibsqlStoreOptions {
  readonly url: string
  readonly authToken?: string | undefined
  readonly log: Log
}

/** Throws AppError `unavailable` when a file cannot be opened; a server that is away is noticed by the first call. */
export async function createLibsqlStore({ url, authToken, log }: LibsqlStoreOptions): Promise<JobStore & StreamLedger> {
  if (url.startsWith('file:')) {
    const db = await openFileDb(url)
    log.info('the database is open', { url })
    return createJobStore(db)
  }
  return createJobStore(openRemoteDb(url, authToken))
}

/** Brings a file or a server to this version's schema; returns the migrations that were applied now. */
export async function migrateDatabase({ url, authToken }: Omit<LibsqlStoreOptions, 'log'>): Promise<readonly string[]> {
  const client = createClient({ url, ...(authToken === undefined ? {} : { authToken }) })
  try {
    return await migrate(client)
  } finally {
    client.close()
  }
}
