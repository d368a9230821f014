// A control plane in the test's own process: real store (a file in a folder of its own), real core, real relay, real HTTP
// server. NATS is away unless the test gives one: most of HTTP has no need of it, and that is worth a test by itself.

import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createClient as openDatabase, type Client as Database } from '@libsql/client'
import { createUser } from '@nats-io/nkeys'
import { loadControlPlaneConfig } from '../../control-plane/entry/control-plane-config.ts'
import { startControlPlane } from '../../control-plane/entry/node.ts'
import { SESSION_HEADER } from '../../shared/agent-protocol.ts'

export interface CallOptions {
  readonly key?: string | undefined
  readonly headers?: Readonly<Record<string, string>>
  /** A string is sent as it is. */
  readonly body?: unknown
}

export interface Answer {
  readonly status: number
  readonly headers: Headers
  // What a test looks at is what it knows.
  readonly body: Record<string, unknown>
  readonly text: string
}

export interface TestAgent {
  readonly id: string
  readonly pool: string
  call(path: string, body?: unknown, session?: string): Promise<Answer>
}

export interface TestControlPlane {
  readonly url: string
  readonly dir: string
  /** Admin of tenant `default`. */
  readonly adminKey: string
  readonly logLines: readonly string[]
  call(method: string, path: string, options?: CallOptions): Promise<Answer>
  tenantKey(tenant: string): Promise<string>
  joinAgent(name: string): Promise<TestAgent>
  /** All rows of all tables that clients can change, as one text. */
  rows(): Promise<string>
  close(): Promise<void>
}

const NOWHERE = 'nats://127.0.0.1:1'

export async function startTestControlPlane(env: Readonly<Record<string, string>> = {}): Promise<TestControlPlane> {
  const dir = await mkdtemp(join(tmpdir(), 'dray-http-'))
  const logLines: string[] = []
  const log = (level: string) => (message: string, fields?: object) =>
    void logLines.push(JSON.stringify({ level, message, ...fields }))
  let adminKey = ''
  const config = loadControlPlaneConfig({ DRAY_PORT: '0', DRAY_STATE_DIR: dir, DRAY_NATS_URLS: NOWHERE, ...env })
  const controlPlane = await startControlPlane(config, {
    log: { info: log('info'), warn: log('warn'), error: log('error') },
    onFirstAdminKey: (token) => (adminKey = token),
  })
  const database = openDatabase({ url: config.databaseUrl })
  const { url } = controlPlane

  const call: TestControlPlane['call'] = async (method, path, { key = adminKey, headers = {}, body } = {}) => {
    const answer = await fetch(`${url}${path}`, {
      method,
      headers: {
        ...(key === '' ? {} : { authorization: `Bearer ${key}` }),
        ...(body === undefined ? {} : { 'content-type': 'application/json' }),
        ...headers,
      },
      ...(body === undefined ? {} : { body: typeof body === 'string' ? body : JSON.stringify(body) }),
    })
    const text = await answer.text()
    const isJson =
      /json/.test(answer.headers.get('content-type') ?? '') && !/ndjson/.test(answer.headers.get('content-type') ?? '')
    return {
      status: answer.status,
      headers: answer.headers,
      text,
      body: isJson ? (JSON.parse(text) as Answer['body']) : {},
    }
  }
  return {
    url,
    dir,
    adminKey,
    logLines,
    call,
    tenantKey: async (tenant) => String((await call('POST', '/v1/keys', { body: { tenant } })).body['token']),
    joinAgent: (name) => joinAgent(call, name),
    rows: () => readRows(database),
    async close() {
      database.close()
      await controlPlane.close()
      await rm(dir, { recursive: true, force: true })
    },
  }
}

async function joinAgent(call: TestControlPlane['call'], name: string): Promise<TestAgent> {
  const token = (await call('POST', '/v1/join-tokens', { body: {} })).body['token']
  const body = {
    join_token: token,
    nkey: createUser().getPublicKey(),
    name,
    // A pool of its own: the jobs of one test do not go to the agent of another.
    pool: name,
    protocol: 1,
    version: '0.1.0',
    boot_id: 'boot',
    capacity: { cpus: 8, memory: 2 ** 34, gpus: [], defaults: { memory: 2 ** 31, cpus: 2 } },
    posture: { degraded: [] },
  }
  const joined = await call('POST', '/v1/agents', { key: '', body, headers: { [SESSION_HEADER]: 'session-1' } })
  if (joined.status !== 200) throw new Error(joined.text)
  const key = String(joined.body['key'])
  return {
    id: String(joined.body['agent']),
    pool: name,
    call: (path, sent = {}, session = 'session-1') =>
      call('POST', `/v1/agents/self${path}`, { key, body: sent, headers: { [SESSION_HEADER]: session } }),
  }
}

const TABLES = ['jobs', 'job_labels', 'idempotency', 'attempts', 'transitions', 'api_keys', 'join_tokens', 'tenants']

async function readRows(database: Database): Promise<string> {
  const tables = await Promise.all(TABLES.map((table) => database.execute(`SELECT * FROM ${table}`)))
  return JSON.stringify(tables.map(({ rows }) => rows.map((row) => JSON.stringify(row)).toSorted()))
}
