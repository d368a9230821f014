// The protocol's HTTP sentences that no other file proves: every route and its refusals, the exact shapes, the defaults of a
// submit body, each maximum, and what agents and the control plane say to each other. NATS is away in this file.
import { createUser } from '@nats-io/nkeys'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { SESSION_HEADER } from '../../shared/agent-protocol.ts'
import { runToEnd, startAttempt } from '../support/agent-life.ts'
import { startTestControlPlane, type Answer, type TestControlPlane } from '../support/control-plane.ts'
import { eventually } from '../support/eventually.ts'

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

const submit = (body: object, headers: Record<string, string> = {}): Promise<Answer> =>
  plane.call('POST', '/v1/jobs', { body, headers })
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

describe('a submit body', () => {
  it('gets the defaults of the table', async () => {
    const { body } = await submit({ image: 'x' })
    expect(body['spec']).toEqual({
      image: 'x',
      pull: 'missing',
      env: {},
      resources: { gpus: 0, pids: 512, shm: 64 * 2 ** 20 },
      read_only: false,
      network: 'internet',
      parse_updates: true,
      stop_grace_seconds: 10,
      retries: { max_attempts: 1, on: [], backoff_seconds: 1, exclusive: false },
      lost_after_seconds: 600,
      priority: 'normal',
      pool: 'default',
      labels: {},
      agent_labels: {},
    })
  })

  it('may say everything that the table lists', async () => {
    const said = {
      image: 'x',
      command: ['a', 'b c'],
      entrypoint: ['sh'],
      pull: 'never',
      env: { A: '1' },
      labels: { team: 'a' },
      agent_labels: { zone: 'b' },
      resources: { memory: '1g', cpus: 1.5, pids: 9, shm: '1m', tmpfs: { '/run': '1m' }, gpus: { count: 1 } },
      read_only: true,
      user: '1000:1000',
      workdir: '/w',
      network: 'none',
      timeout_seconds: 1,
      stop_grace_seconds: 2_592_000,
      stop_signal: 'SIGUSR1',
      queue_ttl_seconds: 60,
      lost_after_seconds: 30,
      retries: { max_attempts: 3, on: ['oom', 'agent_lost'], backoff_seconds: 0, exclusive: true },
      priority: 'low',
      parse_updates: false,
      pool: 'nobody',
      name: 'mine',
    }
    const answer = await submit(said)
    expect(answer.status, answer.text).toBe(201)
    const resources = { memory: 2 ** 30, cpus: 1.5, pids: 9, shm: 2 ** 20, tmpfs: { '/run': 2 ** 20 }, gpus: 1 }
    expect(answer.body['spec']).toEqual({ ...said, resources })
  })

  it.each([
    ['pull', 'sometimes'],
    ['network', 'host'],
    ['priority', 'urgent'],
    ['stop_signal', 'TERM'],
    ['user', 'a b'],
    ['workdir', 'here'],
    ['parse_updates', 'yes'],
    ['command', 'echo hi'],
    ['retries', { max_attempts: 0 }],
    ['retries', { on: ['whatever'] }],
    ['timeout_seconds', 2_592_001],
  ])('is refused with 400 where %s is %j', async (key, value) => {
    const answer = await submit({ image: 'x', [key]: value })
    expect([answer.status, answer.body['code']]).toEqual([400, 'bad_request'])
    expect(answer.body['detail']).toContain(key)
  })

  it('may carry an Idempotency-Key of 255 printable characters, and stores nothing under it with a 4xx', async () => {
    const headers = { 'idempotency-key': `${'~'.repeat(127)} ${'!'.repeat(127)}` }
    expect((await submit({ image: 'x', nope: 1 }, headers)).status).toBe(400)
    const made = await submit({ image: 'x', pool: 'nobody' }, headers)
    const again = await submit({ pool: 'nobody', image: 'x' }, headers)
    expect([made.status, again.status]).toEqual([201, 200])
    expect(again.body['id']).toBe(made.body['id'])
  })

  it('may not pass any of the operator’s maxima, and hears which', async () => {
    const maxima: readonly (readonly [string, string, (over: boolean) => object])[] = [
      ['DRAY_MAX_MEMORY', '1g', (over) => ({ resources: { memory: over ? '1025m' : '1g' } })],
      ['DRAY_MAX_CPUS', '2', (over) => ({ resources: { cpus: over ? 2.1 : 2 } })],
      ['DRAY_MAX_GPUS', '1', (over) => ({ resources: { gpus: over ? 2 : 1 } })],
      ['DRAY_MAX_PIDS', '100', (over) => ({ resources: { pids: over ? 101 : 100 } })],
      ['DRAY_MAX_SHM', '32m', (over) => ({ resources: { shm: over ? '33m' : '32m' } })],
      ['DRAY_MAX_TIMEOUT_SECONDS', '60', (over) => ({ timeout_seconds: over ? 61 : 60 })],
      ['DRAY_MAX_QUEUE_TTL_SECONDS', '60', (over) => ({ queue_ttl_seconds: over ? 61 : 60 })],
      ['DRAY_MAX_STOP_GRACE_SECONDS', '30', (over) => ({ stop_grace_seconds: over ? 31 : 30 })],
      ['DRAY_MAX_LOST_AFTER_SECONDS', '900', (over) => ({ lost_after_seconds: over ? 901 : 900 })],
      ['DRAY_MAX_ATTEMPTS', '3', (over) => ({ retries: { max_attempts: over ? 4 : 3 } })],
    ]
    const bounded = await startTestControlPlane(Object.fromEntries(maxima.map(([name, value]) => [name, value])))
    try {
      for (const [name, value, body] of maxima) {
        const refused = await bounded.call('POST', '/v1/jobs', { body: { image: 'x', ...body(true) } })
        expect([name, refused.status, refused.body['code']]).toEqual([name, 400, 'bad_request'])
        expect(refused.body['detail']).toContain(name)
        expect(refused.body['detail']).toContain(`"${value}"`)
        expect((await bounded.call('POST', '/v1/jobs', { body: { image: 'x', ...body(false) } })).status).toBe(201)
      }
    } finally {
      await bounded.close()
    }
  })
})

describe('cancel', () => {
  it('takes grace_seconds and nothing else', async () => {
    const { body } = await submit({ image: 'x', pool: 'nobody' })
    const cancel = (sent: unknown): Promise<Answer> =>
      plane.call('POST', `/v1/jobs/${String(body['id'])}/cancel`, { body: sent })
    expect((await cancel({ grace: 1 })).status).toBe(400)
    expect((await cancel({ grace_seconds: -1 })).status).toBe(400)
    expect((await cancel({ grace_seconds: 0 })).status).toBe(202)
  })
})

describe('agent calls', () => {
  it('joining again with the same nkey gives the same agent and a new key, and ends the old key', async () => {
    const token = (await plane.call('POST', '/v1/join-tokens', { body: {} })).body['token']
    const nkey = createUser().getPublicKey()
    const join = (protocol = 1): Promise<Answer> =>
      plane.call('POST', '/v1/agents', {
        key: '',
        headers: { [SESSION_HEADER]: 'ses-1' },
        body: {
          join_token: token,
          nkey,
          name: 'again',
          pool: 'again',
          protocol,
          version: '0.1.0',
          capacity: { cpus: 1, memory: 2 ** 30, gpus: [], defaults: { memory: 2 ** 29, cpus: 1 } },
          posture: {},
        },
      })
    const [once, twice] = [await join(), await join()]
    expect([once.status, twice.status]).toEqual([200, 200])
    expect(keysOf(once.body)).toEqual(['agent', 'key', 'lease_seconds', 'nats'])
    expect(once.body['nats']).toMatchObject({ urls: [expect.any(String)], jwt: expect.any(String) })
    expect(twice.body['agent']).toBe(once.body['agent'])
    expect(twice.body['key']).not.toBe(once.body['key'])
    const beat = (key: unknown): Promise<Answer> =>
      plane.call('POST', '/v1/agents/self/heartbeat', {
        key: String(key),
        headers: { [SESSION_HEADER]: 'ses-1' },
        body: { beat: 1, boot_id: 'b', attempts: [] },
      })
    expect((await beat(once.body['key'])).status).toBe(401)
    expect((await beat(twice.body['key'])).status).toBe(200)
    // One version newer is welcome, two are not: agent N works with control plane N and N-1.
    expect((await join(2)).status).toBe(200)
    expect((await join(3)).status).toBe(409)
  })

  it('a heartbeat is answered with the whole list of what is wanted: run, cancel, stop', async () => {
    const agent = await plane.joinAgent('beater')
    const { id } = await startAttempt(plane, agent)
    const held = (job: string) => ({
      tenant: 'default',
      job,
      attempt: 1,
      phase: 'running',
      n: 0,
      stdout_lines: 0,
      stderr_lines: 0,
    })
    const beat = (number: number): Promise<Answer> =>
      agent.call('/heartbeat', { beat: number, boot_id: 'boot', attempts: [held(id), held('of-nobody')] })
    const running = await beat(100)
    expect(keysOf(running.body)).toEqual(['attempts', 'cordoned', 'draining', 'lease_seconds', 'next_beat_seconds'])
    expect(running.body['attempts']).toEqual([
      { tenant: 'default', job: id, attempt: 1, image: 'x', want: 'run' },
      { tenant: 'default', job: 'of-nobody', attempt: 1, want: 'stop' },
    ])
    // The same beat again, as after a lost answer.
    expect((await beat(100)).body).toEqual(running.body)
    await plane.call('POST', `/v1/jobs/${id}/cancel`, { body: { grace_seconds: 7 } })
    expect(first((await beat(101)).body['attempts'])).toMatchObject({ job: id, want: 'cancel', grace_seconds: 7 })
  })

  it('a new process gets a NATS JWT with its first beat, and hears that it is cordoned and draining', async () => {
    const agent = await plane.joinAgent('fresh')
    const firstBeat = await agent.call('/heartbeat', { beat: 1, boot_id: 'boot', attempts: [] })
    expect(firstBeat.body['nats_jwt']).toEqual(expect.any(String))
    for (const action of ['cordon', 'drain']) await plane.call('POST', `/v1/agents/${agent.id}/${action}`)
    const second = await agent.call('/heartbeat', { beat: 2, boot_id: 'boot', attempts: [] })
    expect(second.body).toMatchObject({ cordoned: true, draining: true, attempts: [] })
  })

  it('a grant holds spec, env, secrets, limits, the cancel flag and where to resume', async () => {
    const agent = await plane.joinAgent('claimer')
    const made = await submit({ image: 'x', pool: agent.pool })
    const path = `/jobs/default/${String(made.body['id'])}/claim`
    const claimed = await eventually(async () => {
      await agent.call('/heartbeat', { beat: 1, boot_id: 'boot', attempts: [] })
      const answer = await agent.call(path, { attempt: 1, beat: 1 })
      return answer.status === 200 && answer
    })
    expect(claimed.body).toMatchObject({
      spec: made.body['spec'],
      env: {},
      secrets: {},
      limits: { output_bytes: 256 * 2 ** 20, line_bytes: 8 * 2 ** 20 },
      gpus: [],
      cancel_requested: false,
      resume: { n: 0, stdout_lines: 0, stderr_lines: 0, subject_seq: 0, session: null },
    })
  })
})
