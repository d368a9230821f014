// The protocol's submit body over HTTP: its defaults, everything that it may say, what is refused, the operator's maxima.
// NATS is away in this file.
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { startTestControlPlane, type Answer, type TestControlPlane } from '../support/control-plane.ts'

let plane: TestControlPlane
beforeAll(async () => {
  plane = await startTestControlPlane()
})
afterAll(() => plane.close())

const submit = (body: object, headers: Record<string, string> = {}): Promise<Answer> =>
  plane.call('POST', '/v1/jobs', { body, headers })

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
