// A replica of a libSQL server for tests, as sqld runs one: a batch that it takes for mere reads it answers itself, from a
// copy of the database that is as old as its last `catchUp`; everything else it hands on to the primary. What it takes for
// a read is what sqld does (libsql-server, query_analysis.rs and connection/write_proxy.rs): by the kinds of the statements
// alone, with transactions' beginnings and ends among the reads, and of the pragmas only those named here.
import { createServer, type IncomingMessage } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { text } from 'node:stream/consumers'
import { startLibsqlServer, type LibsqlServer } from './libsql-server.ts'

export interface LibsqlReplica {
  readonly url: string
  /** Batches that it answered itself. */
  ownAnswers(): number
  /** Takes over what the primary has now; until the next time it stays as it is. */
  catchUp(): Promise<void>
  stop(): Promise<void>
}

export interface ReplicaOf {
  readonly primary: LibsqlServer
  /** The primary's file. */
  readonly path: string
  /** For its copies. */
  readonly folder: string
}

interface Request {
  readonly type: string
  readonly sql?: string
  readonly sql_id?: number
  readonly stmt?: Statement
  readonly batch?: { readonly steps: readonly { readonly stmt: Statement }[] }
}

interface Statement {
  readonly sql?: string
  readonly sql_id?: number
}

interface Pipeline {
  readonly baton?: string | null
  readonly requests: readonly Request[]
}

export async function startLibsqlReplica({ primary, path, folder }: ReplicaOf): Promise<LibsqlReplica> {
  let copies = 0
  let ownAnswers = 0
  const copy = (): Promise<LibsqlServer> => {
    copies += 1
    const file = join(folder, `replica-${copies}.db`)
    const source = new DatabaseSync(path)
    source.exec(`VACUUM INTO '${file}'`)
    source.close()
    return startLibsqlServer(file)
  }
  let own = await copy()
  const serve = async (request: IncomingMessage) => {
    const body = request.method === 'POST' ? await text(request) : null
    const isOwn = body !== null && isReadOnly(JSON.parse(body) as Pipeline)
    if (isOwn) ownAnswers += 1
    return fetch(`${(isOwn ? own : primary).url}${request.url ?? ''}`, { method: request.method ?? 'GET', body })
  }
  const server = createServer((request, response) => {
    serve(request).then(
      async (answer) => {
        const bytes = Buffer.from(await answer.arrayBuffer())
        response.writeHead(answer.status, { 'content-type': 'application/json' }).end(bytes)
      },
      (error: unknown) => response.writeHead(502).end(String(error)),
    )
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    ownAnswers: () => ownAnswers,
    async catchUp() {
      const old = own
      own = await copy()
      await old.stop()
    },
    async stop() {
      const closed = new Promise((resolve) => server.close(resolve))
      server.closeAllConnections()
      await closed
      await own.stop()
    },
  }
}

/** A stream that goes on was begun by something that was handed on. */
function isReadOnly({ baton, requests }: Pipeline): boolean {
  if (baton) return false
  const texts = new Map(requests.flatMap(({ type, sql, sql_id: id }) => (type === 'store_sql' ? [[id, sql]] : [])))
  const statements = requests.flatMap(({ type, sql, stmt, batch }): Statement[] => {
    if (type === 'sequence') return [{ sql: sql ?? '' }]
    return [...(stmt ? [stmt] : []), ...(batch?.steps.map((step) => step.stmt) ?? [])]
  })
  return statements.every(({ sql, sql_id: id }) => isRead(sql ?? texts.get(id) ?? ''))
}

const READS = /^\s*(SELECT|BEGIN|COMMIT|ROLLBACK|EXPLAIN)\b/i
const READ_PRAGMAS =
  /^\s*PRAGMA\s+(table_list|index_list|table_x?info|index_x?info|pragma_list|compile_options|database_list|function_list|module_list|encoding|schema_version)\b/i

function isRead(sql: string): boolean {
  return READS.test(sql) || READ_PRAGMAS.test(sql)
}
