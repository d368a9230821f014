// Every route of the protocol with its refusals, and the exact shapes of what it answers. NATS is away in this file.
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { runToEnd, startAttempt } from '../support/agent-life.ts'
import { startTestControlPlane, type Answer, type TestControlPlane } from '../support/control-plane.ts'

let plane: TestControlPlane
beforeAll(async () => {
  plane = await startTestControlPlane()
})
afterAll(() => plane.close())

const ISO_UTC = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z$/
const PUBLIC = ['GET /healthz', 'GET /readyz', 'POST /v1/agents']
/** All of the first version: files of jobs, secrets, webhooks and tokens for one job come with later ones. */
const ROUTES = [
  'DELETE /v1/agents/{id}',
  'DELETE /v1/keys/{id}',
  'GET /healthz',
  'GET /metrics',
  'GET /readyz',
  'GET /v1/agents',
  'GET /v1/agents/{id}',
  'GET /v1/jobs',
  'GET /v1/jobs/{id}',
  'GET /v1/jobs/{id}/stream',
  'GET /v1/jobs/{id}/updates',
  'GET /v1/keys',
  'POST /v1/agents',
  'POST /v1/agents/self/heartbeat',
  'POST /v1/agents/self/jobs/{tenant}/{job}/claim',
  'POST /v1/agents/self/jobs/{tenant}/{job}/finish',
  'POST /v1/agents/self/leave',
  'POST /v1/agents/{id}/cordon',
  'POST /v1/agents/{id}/drain',
  'POST /v1/agents/{id}/uncordon',
  'POST /v1/jobs',
  'POST /v1/jobs/{id}/cancel',
  'POST /v1/jobs/{id}/retry',
  'POST /v1/join-tokens',
  'POST /v1/keys',
]

const submit = (body: object): Promise<Answer> => plane.call('POST', '/v1/jobs', { body })
const show = async (id: unknown): Promise<Record<string, unknown>> => {
  const answer = await plane.call('GET', `/v1/jobs/${String(id)}`)
  expect(answer.status, answer.text).toBe(200)
  return answer.body
}
const keysOf = (value: unknown): string[] => Object.keys(value as object).toSorted()
const first = (value: unknown): unknown => (value as unknown[])[0]
const parted = (route: string): [method: string, path: string] => route.split(' ') as [string, string]
const filled = (path: string, id: string): string => path.replaceAll(/\{\w+\}/g, id)
describe('routes', () => {
  it('are those of the protocol, no more and no fewer', async () => {
    const { body } = await plane.call('GET', '/openapi.json', { key: '' })
    const paths = body['paths'] as Record<string, object>
    const described = Object.entries(paths).flatMap(([path, methods]) =>
      Object.keys(methods).map((method) => `${method.toUpperCase()} ${path}`),
    )
    expect(described.toSorted()).toEqual(ROUTES)
  })

  it('answer 401 without a key, whatever else is wrong, unless they are public', async () => {
    for (const route of ROUTES.filter((name) => !PUBLIC.includes(name) && !name.endsWith('/stream'))) {
      const [method, path] = parted(route)
      const answer = await plane.call(method, filled(path, 'a.b'), { key: '' })
      expect([route, answer.status, answer.body['code']]).toEqual([route, 401, 'unauthenticated'])
    }
  })

  it('answer 405 with Allow to a method that they have not', async () => {
    for (const path of new Set(ROUTES.map((route) => filled(parted(route)[1], 'some-id')))) {
      const answer = await plane.call('PATCH', path)
      expect([path, answer.status, answer.body['code']]).toEqual([path, 405, 'method_not_allowed'])
      expect(answer.headers.get('allow')).toBeTruthy()
    }
  })

  it('answer 404 to a malformed id and to one that nothing has', async () => {
    const agent = await plane.joinAgent('asker')
    for (const route of ROUTES.filter((name) => name.includes('{') && !name.endsWith('/stream')))
      for (const id of ['a.b', 'nothing-has-this']) {
        const [method, path] = parted(route)
        const isAgents = path.startsWith('/v1/agents/self')
        const answer = isAgents
          ? await agent.call(filled(path, id).slice('/v1/agents/self'.length), { attempt: 1, beat: 1 })
          : await plane.call(method, filled(path, id))
        // An attempt that nobody knows does not count: agents hear that as fenced. Their finish has a body to be right first.
        const expected = isAgents && id === 'nothing-has-this' ? (path.endsWith('claim') ? 409 : 400) : 404
        expect([route, id, answer.status]).toEqual([route, id, expected])
      }
  })
})

describe('shapes', () => {
  const JOB = [
    'attempt',
    'attempts',
    'cancel_requested',
    'created_at',
    'id',
    'labels',
    'phase',
    'spec',
    'status',
    'tenant',
    'transitions',
  ]

  it('a waiting job has these keys and no others', async () => {
    const made = await submit({ image: 'x', pool: 'nobody' })
    expect(keysOf(made.body)).toEqual(JOB)
    const shown = await show(made.body['id'])
    expect(keysOf(shown)).toEqual([...JOB, 'queue'].toSorted())
    expect(keysOf(shown['queue'])).toEqual(['agents', 'position', 'why'])
    expect(keysOf(first(shown['transitions']))).toEqual(['at', 'event', 'phase', 'rev', 'status'])
    expect(shown).toMatchObject({ tenant: 'default', attempt: 0, cancel_requested: false, labels: {} })
  })

  it('an ended job has its times, its exit, its result and its attempts; times are ISO 8601 in UTC', async () => {
    const agent = await plane.joinAgent('shaper')
    const shown = await show(await runToEnd(plane, agent))
    expect(keysOf(shown)).toEqual([...JOB, 'started_at', 'finished_at', 'exit', 'result'].toSorted())
    expect(shown['attempts']).toHaveLength(1)
    const attempt = first(shown['attempts']) as Record<string, unknown>
    expect(keysOf(attempt)).toEqual(['agent', 'attempt', 'claimed_at', 'exit', 'finished_at', 'gpus', 'started_at'])
    expect(attempt).toMatchObject({ attempt: 1, agent: agent.id, gpus: [] })
    expect(keysOf(shown['exit'])).toEqual(['code', 'oom_killed', 'reason'])
    const times = [shown['created_at'], shown['started_at'], shown['finished_at'], attempt['claimed_at']]
    for (const time of times) expect(time).toMatch(ISO_UTC)
  })

  it('a job that failed has error {code, message, hint} and no result, here and at its attempt', async () => {
    const agent = await plane.joinAgent('failer')
    const { id } = await startAttempt(plane, agent)
    const now = new Date().toISOString()
    const finished = await agent.call(`/jobs/default/${id}/finish`, {
      attempt: 1,
      exit: { code: null, oom_killed: false, reason: 'lost' },
      started_at: null,
      finished_at: now,
      image_digest: 'sha256:abc',
      error: { code: 'image_not_found', message: 'There is no such image.', hint: 'Load it.' },
      updates: 0,
    })
    expect(finished.status, finished.text).toBe(200)
    const shown = await show(id)
    const error = { code: 'image_not_found', message: 'There is no such image.', hint: 'Load it.' }
    expect(shown).toMatchObject({ status: 'error', error, exit: { code: null } })
    expect(shown).not.toHaveProperty('result')
    expect(first(shown['attempts'])).toMatchObject({ image_digest: 'sha256:abc', error })
  })

  it('an agent has these keys and no others', async () => {
    const agent = await plane.joinAgent('seen')
    await agent.call('/heartbeat', { beat: 1, boot_id: 'boot', attempts: [] })
    const { body } = await plane.call('GET', `/v1/agents/${agent.id}`)
    expect(keysOf(body)).toEqual([
      'capacity',
      'id',
      'labels',
      'last_seen_at',
      'name',
      'pool',
      'posture',
      'protocol',
      'running',
      'state',
      'used',
      'version',
    ])
    expect(body).toMatchObject({
      capacity: { cpus: 8, memory: 2 ** 34, gpus: [] },
      used: { cpus: 0, memory: 0, gpus: [] },
      running: [],
      version: '0.1.0',
    })
    expect(body['last_seen_at']).toMatch(ISO_UTC)
    expect((await agent.call('/leave')).body).toEqual({})
    expect((await plane.call('GET', `/v1/agents/${agent.id}`)).body['state']).toBe('lost')
  })

  it('a list has items and a cursor, 50 items unless asked, at most 500', async () => {
    const key = await plane.tenantKey('many')
    await Promise.all(
      Array.from({ length: 51 }, () => plane.call('POST', '/v1/jobs', { key, body: { image: 'x', pool: 'nobody' } })),
    )
    const page = await plane.call('GET', '/v1/jobs', { key })
    expect(keysOf(page.body)).toEqual(['cursor', 'items'])
    expect(page.body['items']).toHaveLength(50)
    expect(page.body['cursor']).toEqual(expect.any(String))
    const all = await plane.call('GET', '/v1/jobs?limit=500', { key })
    expect(all.body).toMatchObject({ cursor: null })
    expect(all.body['items']).toHaveLength(51)
    expect((await plane.call('GET', '/v1/jobs?limit=501', { key })).status).toBe(400)
  })

  it('a key and a join token are answered with id and token', async () => {
    const key = await plane.call('POST', '/v1/keys', { body: { tenant: 'shown' } })
    expect(keysOf(key.body)).toEqual(['id', 'role', 'tenant', 'token'])
    const joinToken = await plane.call('POST', '/v1/join-tokens', { body: {} })
    expect(keysOf(joinToken.body)).toEqual(['id', 'token'])
    const { items } = (await plane.call('GET', '/v1/keys')).body as { items: Record<string, unknown>[] }
    for (const item of items) expect(item).not.toHaveProperty('token')
  })
})
