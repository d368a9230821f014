// A libSQL server for tests: the HTTP protocol "hrana 2" over a SQLite file, as sqld speaks it, because no package of
// sqld can be installed. It shows that our batches, interactive transactions and errors survive the way over HTTP; what
// sqld itself makes of them, only sqld can show. One connection per stream; a stream that is not closed keeps its own.
import { createServer, type IncomingMessage, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { DatabaseSync, type SQLInputValue } from 'node:sqlite'
import { setTimeout as sleep } from 'node:timers/promises'

export interface LibsqlServer {
  readonly url: string
  /** Requests that were answered: what a round trip is. */
  requestCount(): number
  /** Rows that were inserted, changed or deleted. */
  rowsWritten(): number
  /** A round trip takes this long from now on: half of it before the work, half before the answer. */
  setLatency(ms: number): void
  /** The next `count` requests are carried out, and their answers lost: nobody knows whether they were. */
  dropAnswers(count: number): void
  /** The same for one in so many from now on, spread without a pattern; 0 for none. */
  dropOneIn(number: number): void
  /** Nobody listens any more; what was stored stays. */
  stop(): Promise<void>
}

interface Counts {
  rowsWritten: number
}

interface Stream {
  readonly db: DatabaseSync
  readonly texts: Map<number, string>
}

type Json = Record<string, unknown>
interface Statement {
  readonly sql?: string
  readonly sql_id?: number
  readonly args?: readonly Json[]
}
type Outcome = { readonly result: Json } | { readonly error: Json } | null

const LOCK_WAIT_MS = 5_000

/** Serves the file at `path`; `port` 0 takes any free one. */
export async function startLibsqlServer(path: string, port = 0): Promise<LibsqlServer> {
  const streams = new Map<string, Stream>()
  const counts: Counts = { rowsWritten: 0 }
  let requests = 0
  let latencyMs = 0
  let drops = 0
  let oneIn = 0
  const server = createServer((request, response) => {
    const answer = async (): Promise<void> => {
      // Protobuf (v3) is refused, so that clients fall back to JSON (v2).
      if (request.url !== '/v2/pipeline') {
        response.writeHead(request.url === '/v2' ? 200 : 404).end()
        return
      }
      requests += 1
      const asked = await readJson(request)
      await sleep(latencyMs / 2)
      const body = JSON.stringify(await pipeline({ path, streams, counts }, asked))
      await sleep(latencyMs / 2)
      if (drops > 0 || (oneIn > 0 && scattered(requests) % oneIn === 0)) {
        drops = Math.max(0, drops - 1)
        response.destroy()
        return
      }
      response.writeHead(200, { 'content-type': 'application/json' }).end(body)
    }
    answer().catch((error: unknown) => response.writeHead(500).end(String(error)))
  })
  await new Promise<void>((resolve) => server.listen(port, '127.0.0.1', resolve))
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    requestCount: () => requests,
    rowsWritten: () => counts.rowsWritten,
    setLatency: (ms) => void (latencyMs = ms),
    dropAnswers: (count) => void (drops = count),
    dropOneIn: (number) => void (oneIn = number),
    stop: () => stopServer(server, streams),
  }
}

/** Each n-th answer would always be the same one of a caller that makes n requests. */
function scattered(count: number): number {
  return Math.imul(count, 0x9e3779b1) >>> 16
}

async function stopServer(server: Server, streams: Map<string, Stream>): Promise<void> {
  const closed = new Promise((resolve) => server.close(resolve))
  server.closeAllConnections()
  await closed
  for (const { db } of streams.values()) db.close()
  streams.clear()
}

async function readJson(request: IncomingMessage): Promise<Json> {
  const chunks: Buffer[] = []
  for await (const chunk of request) chunks.push(chunk as Buffer)
  return JSON.parse(Buffer.concat(chunks).toString('utf8')) as Json
}

interface Served {
  readonly path: string
  readonly streams: Map<string, Stream>
  readonly counts: Counts
}

async function pipeline({ path, streams, counts }: Served, body: Json): Promise<Json> {
  const old = body['baton'] as string | undefined
  const stream = (old === undefined ? undefined : streams.get(old)) ?? openStream(path)
  if (old !== undefined) streams.delete(old)
  const results: Json[] = []
  let open = true
  for (const request of body['requests'] as Json[]) {
    if (request['type'] === 'close') open = false
    try {
      results.push({ type: 'ok', response: { type: request['type'], ...(await respond(stream, request)) } })
    } catch (error) {
      results.push({ type: 'error', error: errorOf(error) })
    }
  }
  if (!open) closeStream(stream, counts)
  const baton = open ? crypto.randomUUID() : null
  if (baton !== null) streams.set(baton, stream)
  return { baton, base_url: null, results }
}

function closeStream({ db }: Stream, counts: Counts): void {
  counts.rowsWritten += Number(db.prepare('SELECT total_changes() AS rows').get()?.['rows'] ?? 0)
  db.close()
}

function openStream(path: string): Stream {
  const db = new DatabaseSync(path, { timeout: 0 })
  db.exec('PRAGMA journal_mode = WAL; PRAGMA foreign_keys = ON')
  return { db, texts: new Map() }
}

async function respond(stream: Stream, request: Json): Promise<Json> {
  switch (request['type']) {
    case 'store_sql':
      stream.texts.set(request['sql_id'] as number, request['sql'] as string)
      return {}
    case 'close_sql':
      stream.texts.delete(request['sql_id'] as number)
      return {}
    case 'execute':
      return { result: await execute(stream, request['stmt'] as Statement) }
    case 'batch':
      return { result: await batch(stream, (request['batch'] as Json)['steps'] as Json[]) }
    case 'sequence':
      await whileLocked(() => stream.db.exec(request['sql'] as string))
      return {}
    case 'close':
      return {}
    default:
      throw new Error(`this server does not know the request "${String(request['type'])}"`)
  }
}

async function batch(stream: Stream, steps: readonly Json[]): Promise<Json> {
  const outcomes: Outcome[] = []
  for (const step of steps) {
    if (!holds(step['condition'] as Json | undefined, outcomes)) outcomes.push(null)
    else
      try {
        outcomes.push({ result: await execute(stream, step['stmt'] as Statement) })
      } catch (error) {
        outcomes.push({ error: errorOf(error) })
      }
  }
  return {
    step_results: outcomes.map((outcome) => (outcome && 'result' in outcome ? outcome.result : null)),
    step_errors: outcomes.map((outcome) => (outcome && 'error' in outcome ? outcome.error : null)),
  }
}

function holds(condition: Json | undefined, outcomes: readonly Outcome[]): boolean {
  if (!condition) return true
  const outcome = outcomes[condition['step'] as number]
  if (condition['type'] === 'ok') return Boolean(outcome && 'result' in outcome)
  if (condition['type'] === 'error') return Boolean(outcome && 'error' in outcome)
  if (condition['type'] === 'not') return !holds(condition['cond'] as Json, outcomes)
  const all = (condition['conds'] as Json[]).map((one) => holds(one, outcomes))
  return condition['type'] === 'and' ? all.every(Boolean) : all.some(Boolean)
}

async function execute({ db, texts }: Stream, { sql, sql_id: id, args = [] }: Statement): Promise<Json> {
  // libSQL's own word for a transaction that only reads.
  const text = (sql ?? texts.get(id ?? -1) ?? '').replace('BEGIN TRANSACTION READONLY', 'BEGIN')
  return whileLocked(() => {
    const statement = db.prepare(text)
    statement.setReadBigInts(true)
    const columns = statement.columns()
    if (columns.length === 0) {
      const { changes } = statement.run(...args.map(decode))
      return { cols: [], rows: [], affected_row_count: Number(changes), last_insert_rowid: null }
    }
    statement.setReturnArrays(true)
    const rows = statement.all(...args.map(decode)) as unknown as unknown[][]
    const cols = columns.map(({ name, type }) => ({ name, decltype: type }))
    return { cols, rows: rows.map((row) => row.map(encode)), affected_row_count: 0, last_insert_rowid: null }
  })
}

async function whileLocked<T>(run: () => T): Promise<T> {
  const end = performance.now() + LOCK_WAIT_MS
  for (;;) {
    try {
      return run()
    } catch (error) {
      if (errorOf(error)['code'] !== 'SQLITE_BUSY' || performance.now() > end) throw error
    }
    await sleep(2)
  }
}

function decode(value: Json): SQLInputValue {
  if (value['type'] === 'null') return null
  if (value['type'] === 'integer') return BigInt(value['value'] as string)
  return value['value'] as string | number
}

function encode(value: unknown): Json {
  if (value === null) return { type: 'null' }
  if (typeof value === 'bigint') return { type: 'integer', value: String(value) }
  if (typeof value === 'number') return { type: 'float', value }
  return { type: 'text', value }
}

const CODES: Readonly<Record<number, string>> = { 1: 'SQLITE_ERROR', 5: 'SQLITE_BUSY', 19: 'SQLITE_CONSTRAINT' }

function errorOf(error: unknown): Json {
  const { errcode = 0, message } = error as { errcode?: number; message: string }
  return { message, code: CODES[errcode & 0xff] ?? 'SQLITE_UNKNOWN' }
}
