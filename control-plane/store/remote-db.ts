// Portable: Web APIs only.
//
// libSQL over HTTP (sqld, Turso): each batch is one request, and the server puts writers in order. A request has a
// deadline, so a database that is away is said to be away. Nothing is repeated here: the caller asks again.
//
// The server may be a replica: it hands each batch on to the primary, except those that it takes for mere reads. These it
// answers itself, from a copy that is behind by however long the replication takes, and promises nothing to the next
// request of the same client (a request is a connection of its own). Nearly all that the store reads decides something: a
// key that was revoked, a job that was just submitted, an attempt that no longer counts. So `read` insists on the primary.
import { createClient, type InStatement } from '@libsql/client/web'
import { render, rowsOf, type Db } from './db.ts'
import { toAppError } from './failures.ts'

const REQUEST_TIMEOUT_MS = 10_000
/**
 * What makes a replica hand a batch of reads on. No mode does: sqld looks at the kinds of the statements only, and takes
 * `BEGIN IMMEDIATE` and `COMMIT` for reads as well (its Program::is_read_only). This pragma it leaves to the primary, which
 * reads a number from the file's header for it, without a lock. In the same batch, so it costs no round trip.
 */
const PRIMARY_ONLY = 'PRAGMA user_version'

export function openRemoteDb(url: string, authToken: string | undefined): Db {
  const client = createClient({
    url,
    ...(authToken === undefined ? {} : { authToken }),
    fetch: (request: Request) => fetch(request, { signal: AbortSignal.timeout(REQUEST_TIMEOUT_MS) }),
  })
  const batch = async (statements: readonly InStatement[], mode: 'read' | 'write') => {
    try {
      return rowsOf(await client.batch([...statements], mode))
    } catch (error) {
      throw toAppError(error)
    }
  }
  return {
    read: async (statements) => (await batch([PRIMARY_ONLY, ...statements.map(render)], 'read')).slice(1),
    glance: (statements) => batch(statements.map(render), 'read'),
    write: (statements) => batch(statements.map(render), 'write'),
    async close() {
      client.close()
    },
  }
}
