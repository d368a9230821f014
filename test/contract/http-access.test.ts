// PROTOCOL 3: who may call what, keys and tokens, and the calls about the system itself. NATS is away in this file.

import { readFile, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { startTestControlPlane, type Answer, type TestControlPlane } from '../support/control-plane.ts'

let plane: TestControlPlane
let tenantKey: string
let otherKey: string
beforeAll(async () => {
  plane = await startTestControlPlane()
  tenantKey = await plane.tenantKey('t1')
  otherKey = await plane.tenantKey('t2')
})
afterAll(() => plane.close())

const submit = (
  body: object = { image: 'x' },
  headers: Record<string, string> = {},
  key = tenantKey,
): Promise<Answer> => plane.call('POST', '/v1/jobs', { key, body, headers })
const get = (path: string, key = tenantKey): Promise<Answer> => plane.call('GET', path, { key })
const idOf = (answer: Answer): string => String(answer.body['id'])
const newJob = async (body?: object): Promise<string> => idOf(await submit(body))
const idsOf = (answer: Answer): string[] => (answer.body['items'] as { id: string }[]).map(({ id }) => id)

describe('authentication', () => {
  it('answers 401 the same for no key, an unknown key and a malformed one', async () => {
    const keys = ['', 'dray_unknown', 'agent_unknown', `dray_${'x'.repeat(43)}`, 'x'.repeat(5_000)]
    const answers = await Promise.all(keys.map((key) => get('/v1/jobs', key)))
    for (const { status, headers, body } of answers) {
      expect(status).toBe(401)
      expect(headers.get('www-authenticate')).toMatch(/^Bearer/)
      expect({ ...body, request_id: '' }).toEqual({ ...answers[0]?.body, request_id: '' })
    }
    for (const authorization of ['Basic eDp5', tenantKey, `Bearer ${tenantKey} x`])
      expect((await plane.call('GET', '/v1/jobs', { key: '', headers: { authorization } })).status).toBe(401)
  })

  it('answers 403 for a role that may not', async () => {
    for (const [method, path] of [
      ['GET', '/v1/agents'],
      ['GET', '/v1/keys'],
      ['POST', '/v1/join-tokens'],
      ['GET', '/metrics'],
      ['POST', '/v1/agents/self/heartbeat'],
      ['DELETE', '/v1/agents/agt_1'],
    ] as const)
      expect((await plane.call(method, path, { key: tenantKey })).status).toBe(403)
    const agent = await plane.joinAgent('curious')
    expect((await agent.call('/../../jobs', { image: 'x' })).status).toBe(403)
  })

  it('gives another tenant the same 404 as for a job that never was', async () => {
    const id = await newJob()
    for (const [method, rest] of [
      ['GET', ''],
      ['POST', '/cancel'],
      ['POST', '/retry'],
      ['GET', '/updates'],
    ] as const) {
      const theirs = await plane.call(method, `/v1/jobs/${id}${rest}`, { key: otherKey })
      const nobodys = await plane.call(method, `/v1/jobs/job_never${rest}`, { key: otherKey })
      expect([theirs.status, nobodys.status]).toEqual([404, 404])
      expect(String(theirs.body['detail']).replace(id, '')).toBe(
        String(nobodys.body['detail']).replace('job_never', ''),
      )
    }
    expect((await get('/v1/jobs?limit=500', otherKey)).text).not.toContain(id)
    expect((await get(`/v1/jobs/${id}`)).body['status']).toBe('starting')
  })

  it('ends with a deleted key, at once', async () => {
    const made = await plane.call('POST', '/v1/keys', { body: { tenant: 't3', name: 'a robot' } })
    const key = String(made.body['token'])
    expect((await get('/v1/jobs', key)).status).toBe(200)
    expect((await plane.call('DELETE', `/v1/keys/${idOf(made)}`)).status).toBe(204)
    expect((await get('/v1/jobs', key)).status).toBe(401)
  })
})

describe('administration', () => {
  it('shows a token once', async () => {
    const made = await plane.call('POST', '/v1/keys', { body: { tenant: 't4', role: 'admin', ttl_seconds: 60 } })
    expect(made.status).toBe(201)
    expect(made.body).toMatchObject({
      id: expect.any(String),
      token: expect.any(String),
      expires_at: expect.any(String),
    })
    const list = await plane.call('GET', '/v1/keys')
    expect(idsOf(list)).toContain(idOf(made))
    expect(list.text).not.toContain(String(made.body['token']))
    expect(await plane.rows()).not.toContain(String(made.body['token']))
  })

  it('makes join tokens, with and without a body', async () => {
    for (const body of [undefined, {}, { pool: 'gpu', ttl_seconds: 60 }]) {
      const made = await plane.call('POST', '/v1/join-tokens', { body })
      expect(made.status).toBe(201)
      expect(made.body).toMatchObject({ id: expect.any(String), token: expect.any(String) })
    }
  })

  it('writes the first admin key to a file of mode 0600 and to no log', async () => {
    const file = join(plane.dir, 'admin.token')
    expect((await readFile(file, 'utf8')).trim()).toBe(plane.adminKey)
    expect((await stat(file)).mode & 0o777).toBe(0o600)
    expect(plane.logLines.join('\n')).not.toContain(plane.adminKey)
    expect(plane.logLines.join('\n')).not.toContain(tenantKey)
  })
})

describe('the system', () => {
  it('needs no key for /healthz, /readyz, /openapi.json and /docs, and an admin key for /metrics', async () => {
    expect((await get('/healthz', '')).body).toEqual({ status: 'ok' })
    const ready = await get('/readyz', '')
    expect(ready.status).toBe(503)
    expect(ready.headers.get('retry-after')).toBe('2')
    expect(ready.body['reasons']).toEqual([expect.stringMatching(/nats/i)])
    expect((await get('/metrics', '')).status).toBe(401)
    const metrics = await plane.call('GET', '/metrics')
    expect(metrics.headers.get('content-type')).toContain('text/plain')
    expect(metrics.text).toMatch(/^dray_jobs\{phase="queued"\} \d+$/m)
    for (const line of metrics.text.trim().split('\n'))
      expect(line).toMatch(/^(# (HELP|TYPE) dray_\w+ .+|dray_\w+(\{(\w+="[^"]*",?)+\})? [\d.e-]+)$/)
  })

  it('describes every route in OpenAPI 3.1', async () => {
    const { body } = await get('/openapi.json', '')
    expect(body['openapi']).toBe('3.1.0')
    const paths = Object.keys(body['paths'] as object)
    for (const path of ['/v1/jobs', '/v1/jobs/{id}/stream', '/v1/agents/self/heartbeat', '/v1/keys/{id}', '/readyz'])
      expect(paths).toContain(path)
    const names = Object.keys((body['components'] as { schemas: object }).schemas)
    expect(names).toEqual(expect.arrayContaining(['SubmitBody', 'Job', 'Agent', 'Problem', 'HeartbeatBody']))
    for (const reference of JSON.stringify(body).matchAll(/"#\/components\/schemas\/(\w+)"/g))
      expect(names).toContain(reference[1])
  })

  it('serves /docs without anything from elsewhere', async () => {
    const docs = await get('/docs', '')
    expect(docs.headers.get('content-type')).toContain('text/html')
    expect(docs.headers.get('content-security-policy')).toContain("default-src 'none'")
    expect(docs.text).not.toMatch(/https?:\/\//)
  })

  it('sends security headers, and no CORS', async () => {
    const { headers } = await plane.call('GET', '/v1/jobs', { headers: { origin: 'https://evil.example' } })
    expect(headers.get('x-content-type-options')).toBe('nosniff')
    expect(headers.get('cache-control')).toBe('no-store')
    expect(headers.get('access-control-allow-origin')).toBeNull()
    expect(headers.get('server')).toBeNull()
  })

  it('logs one line for each request, without headers', async () => {
    await plane.call('GET', '/v1/jobs', { headers: { 'x-request-id': 'logged-1' } })
    const mine = plane.logLines.filter((line) => line.includes('logged-1'))
    expect(mine).toHaveLength(1)
    expect(JSON.parse(String(mine[0]))).toEqual({
      level: 'info',
      message: 'request',
      method: 'GET',
      path: '/v1/jobs',
      status: 200,
      ms: expect.any(Number),
      request_id: 'logged-1',
    })
  })
})
