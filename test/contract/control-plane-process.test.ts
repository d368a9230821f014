// `node control-plane/entry/node.ts` as a process, and what it does while its database is away.

import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { afterEach, beforeEach, expect, it } from 'vitest'
import { WebSocket } from 'ws'
import { createLibsqlStore } from '../../control-plane/store/libsql-store.ts'
import { startTestControlPlane } from '../support/control-plane.ts'
import { eventually } from '../support/eventually.ts'
import { startLibsqlServer } from '../support/libsql-server.ts'

const ENTRY = join(import.meta.dirname, '../../control-plane/entry/node.ts')
const TOKEN = `dray_${'t'.repeat(43)}`

let dir: string
const children: ChildProcess[] = []
beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'dray-process-'))
})
afterEach(async () => {
  for (const child of children.splice(0)) child.kill('SIGKILL')
  await rm(dir, { recursive: true, force: true })
})

function start(env: Record<string, string> = {}) {
  const child = spawn(process.execPath, [ENTRY], {
    env: {
      PATH: process.env['PATH'] ?? '',
      DRAY_PORT: '0',
      DRAY_STATE_DIR: dir,
      DRAY_NATS_URLS: 'nats://127.0.0.1:1',
      ...env,
    },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  children.push(child)
  const stderr = text(child.stderr)
  const exit = once(child, 'exit').then(([code]) => code as number | null)
  return { child, stderr, exit }
}

async function urlOf(child: ChildProcess): Promise<string> {
  if (!child.stdout) throw new Error('no stdout')
  const [line] = (await once(child.stdout, 'data')) as [Buffer]
  return (JSON.parse(line.toString()) as { url: string }).url
}

it('prints one JSON line with its url when it is ready, and ends on SIGTERM with exit code 0', async () => {
  const { child, exit } = start()
  const url = await urlOf(child)
  expect((await fetch(`${url}/healthz`)).status).toBe(200)
  child.kill('SIGTERM')
  expect(await exit).toBe(0)
})

it('tells streams to come back (1013) when it ends, and does not wait for clients that do not', async () => {
  const { child, exit } = start({ DRAY_ADMIN_TOKEN: TOKEN })
  const url = await urlOf(child)
  const headers = { authorization: `Bearer ${TOKEN}` }
  const submitted = await fetch(`${url}/v1/jobs`, {
    method: 'POST',
    headers: { ...headers, 'content-type': 'application/json' },
    body: '{"image":"x"}',
  })
  const { id } = (await submitted.json()) as { id: string }
  const socket = new WebSocket(`${url.replace('http', 'ws')}/v1/jobs/${id}/stream`, { headers })
  const closed = once(socket, 'close')
  await once(socket, 'message')
  const stuck = new WebSocket(`${url.replace('http', 'ws')}/v1/jobs/${id}/stream`, { headers })
  await once(stuck, 'message')
  stuck.pause()
  child.kill('SIGTERM')
  const [code] = (await closed) as [number]
  expect(code).toBe(1013)
  expect(await exit).toBe(0)
  stuck.terminate()
})

it('refuses a wrong setting with a sentence and exit code 2, and a taken port with 1', async () => {
  const wrong = start({ DRAY_LEASE_SECONDS: 'soon' })
  expect(await wrong.exit).toBe(2)
  expect(await wrong.stderr).toContain('DRAY_LEASE_SECONDS is "soon"')
  const first = start()
  const { port } = new URL(await urlOf(first.child))
  const second = start({ DRAY_PORT: port, DRAY_STATE_DIR: join(dir, 'second') })
  expect(await second.exit).toBe(1)
  expect(await second.stderr).toContain('EADDRINUSE')
})

it('makes the first admin key once, keeps it over a restart, and adds the operator’s own', async () => {
  const call = async (url: string, key: string): Promise<number> =>
    (await fetch(`${url}/v1/keys`, { headers: { authorization: `Bearer ${key}` } })).status
  const first = start()
  const url = await urlOf(first.child)
  const key = (await readFile(join(dir, 'admin.token'), 'utf8')).trim()
  expect(await call(url, key)).toBe(200)
  first.child.kill('SIGTERM')
  await first.exit
  expect(await first.stderr).not.toContain(key)
  const second = start({ DRAY_ADMIN_TOKEN: TOKEN })
  const again = await urlOf(second.child)
  expect((await readFile(join(dir, 'admin.token'), 'utf8')).trim()).toBe(key)
  expect([await call(again, key), await call(again, TOKEN)]).toEqual([200, 200])
})

it('answers 503 with Retry-After while the database is away, stores nothing, and recovers by itself', async () => {
  const path = join(dir, 'remote.db')
  const log = { info: () => undefined, warn: () => undefined, error: () => undefined }
  await (await createLibsqlStore({ url: `file:${path}`, log })).close()
  const server = await startLibsqlServer(path)
  const plane = await startTestControlPlane({ DRAY_DATABASE_URL: server.url })
  try {
    const submit = () => plane.call('POST', '/v1/jobs', { body: { image: 'x' } })
    expect((await submit()).status).toBe(201)
    const before = await plane.rows()
    await server.stop()
    const refused = await submit()
    expect([refused.status, refused.body['code']]).toEqual([503, 'unavailable'])
    expect(refused.headers.get('retry-after')).toBe('2')
    expect((await plane.call('GET', '/healthz')).status).toBe(200)
    const ready = await plane.call('GET', '/readyz', { key: '' })
    expect(ready.body['reasons']).toEqual([expect.stringContaining('NATS'), expect.stringContaining('database')])
    const revived = await startLibsqlServer(path, Number(new URL(server.url).port))
    try {
      expect(await plane.rows()).toBe(before)
      await eventually(async () => (await submit()).status === 201, { what: 'jobs are accepted again' })
    } finally {
      await plane.close()
      await revived.stop()
    }
  } finally {
    await plane.close()
  }
})
