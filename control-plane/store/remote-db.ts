// Portable: Web APIs only.
//
// libSQL over HTTP (sqld, Turso): each batch is one request, and the server puts writers in order. A request has a
// deadline, so a database that is away is said to be away. Nothing is repeated here: the caller asks again.
import { createClient } from '@libsql/client/web'
import { render, rowsOf, type Db } from './db.ts'
import { toAppError } from './failures.ts'

const REQUEST_TIMEOUT_MS = 10_000

export function openRemoteDb(url: string, authToken: string | undefined): Db {
  const client = createClient({
    url,
    ...(authToken === undefined ? {} : { authToken }),
    fetch: (request: Request) => fetch(request, { signal: AbortSignal.timeout(REQUEST_TIMEOUT_MS) }),
  })
  const batch = async (statements: Parameters<Db['read']>[0], mode: 'read' | 'write') => {
    try {
      return rowsOf(await client.batch(statements.map(render), mode))
    } catch (error) {
      throw toAppError(error)
    }
  }
  return {
    read: (statements) => batch(statements, 'read'),
    write: (statements) => batch(statements, 'write'),
    async close() {
      client.close()
    },
  }
}
