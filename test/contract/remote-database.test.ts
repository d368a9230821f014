// A control plane whose database is far away: how many round trips each call waits for, and what becomes of calls whose
// answers are lost after the commit. Round trips are counted by time, because what goes on after the answer (a plan, a
// sweep) is nobody's wait. The look-up of the caller's key is counted too.
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { startTestControlPlane, type TestAgent, type TestControlPlane } from '../support/control-plane.ts'
import { eventually } from '../support/eventually.ts'
import { openLibsqlFolder, type LibsqlFolder } from '../support/libsql-folder.ts'
import type { LibsqlServer } from '../support/libsql-server.ts'

let database: LibsqlFolder
let server: LibsqlServer
let plane: TestControlPlane
let agent: TestAgent
let beat = 0

beforeAll(async () => {
  database = await openLibsqlFolder()
  server = database.server
  plane = await startTestControlPlane({ DRAY_DATABASE_URL: server.url })
  agent = await plane.joinAgent('far')
})
beforeEach(() => server.setLatency(0))
afterAll(async () => {
  await plane.close()
  await database.remove()
})

const submit = (headers: Record<string, string> = {}) =>
  plane.call('POST', '/v1/jobs', {
    body: { image: 'x', pool: agent.pool, resources: { memory: '16m', cpus: 0.1 } },
    headers,
  })

const heartbeat = (held: readonly string[] = []) =>
  agent.call('/heartbeat', {
    beat: (beat += 1),
    boot_id: 'boot',
    attempts: held.map((job) => ({
      tenant: 'default',
      job,
      attempt: 1,
      phase: 'running',
      n: 0,
      stdout_lines: 0,
      stderr_lines: 0,
    })),
  })

/** A job that this agent may claim. */
async function assigned(): Promise<string> {
  const { id } = (await submit()).body as { id: string }
  await eventually(async () => {
    const wanted = (await heartbeat()).body['attempts'] as { job: string; want: string }[]
    return wanted.some(({ job, want }) => job === id && want === 'run')
  })
  return id
}

const claim = (id: string) => agent.call(`/jobs/default/${id}/claim`, { attempt: 1, beat })

function finish(id: string) {
  const now = new Date().toISOString()
  const exit = { code: 0, oom_killed: false, reason: 'exited' }
  return agent.call(`/jobs/default/${id}/finish`, {
    attempt: 1,
    exit,
    started_at: now,
    finished_at: now,
    image_digest: null,
    updates: 0,
  })
}

const TRIES = 4

/** How many round trips the call waits for: how much longer it takes than without any latency, each at its fastest. */
async function roundTrips<T>(
  latencyMs: number,
  prepare: () => Promise<T>,
  call: (made: T) => Promise<{ status: number }>,
): Promise<number> {
  const fastest = async (ms: number): Promise<number> => {
    const tries: number[] = []
    for (let time = 0; time < TRIES; time++) {
      server.setLatency(0)
      const made = await prepare()
      server.setLatency(ms)
      const begin = performance.now()
      const { status } = await call(made)
      tries.push(performance.now() - begin)
      expect(status).toBeLessThan(300)
    }
    return Math.min(...tries)
  }
  const near = await fastest(0)
  return Math.round(((await fastest(latencyMs)) - near) / latencyMs)
}

/** Measured again where the machine had other things to do: a call that waits for more does so every time. */
async function expectRoundTrips<T>(
  count: number,
  latencyMs: number,
  prepare: () => Promise<T>,
  call: (made: T) => Promise<{ status: number }>,
): Promise<void> {
  const measured = async (): Promise<void> => {
    expect(await roundTrips(latencyMs, prepare, call)).toBe(count)
  }
  await eventually(measured, { deadlineMs: 12_000, what: `the call waits for ${count} round trips` })
}

const nothing = () => Promise.resolve('')

describe.each([50, 100, 200])('with %i ms to the database', (latencyMs) => {
  it('submit answers after two round trips: key, job', async () => {
    await expectRoundTrips(2, latencyMs, nothing, () => submit())
  })

  it('a heartbeat answers after one: key and beat', async () => {
    await expectRoundTrips(1, latencyMs, nothing, () => heartbeat())
  })

  it('a claim answers after two: key and row, change', async () => {
    await expectRoundTrips(2, latencyMs, assigned, claim)
  })

  it('a finish answers after two: key and row, change', async () => {
    const running = async (): Promise<string> => {
      const id = await assigned()
      await claim(id)
      return id
    }
    await expectRoundTrips(2, latencyMs, running, finish)
  })
})

describe('an answer that is lost after the commit', () => {
  /** Repeats while the database is said to be away. */
  async function insist(call: () => Promise<{ status: number; body: Record<string, unknown> }>) {
    return eventually(async () => {
      const answer = await call()
      if (answer.status === 503) throw new Error('unavailable')
      return answer
    })
  }

  it('of a submit leaves one job, which its Idempotency-Key finds', async () => {
    const before = JSON.parse(await plane.rows()) as unknown[][]
    server.dropAnswers(2)
    const answers = await Promise.all(
      Array.from({ length: 10 }, () => insist(() => submit({ 'idempotency-key': 'lost-answer' }))),
    )
    expect(new Set(answers.map(({ body }) => body['id'])).size).toBe(1)
    const after = JSON.parse(await plane.rows()) as unknown[][]
    expect((after[0]?.length ?? 0) - (before[0]?.length ?? 0)).toBe(1)
  })

  it('of a claim or a finish is answered by the repetition', async () => {
    const id = await assigned()
    server.dropAnswers(3)
    expect((await insist(() => claim(id))).status).toBe(200)
    server.dropAnswers(3)
    expect((await insist(() => finish(id))).status).toBe(200)
    const { body } = await plane.call('GET', `/v1/jobs/${id}`)
    expect(body).toMatchObject({ status: 'completed', attempt: 1 })
    expect(body['attempts']).toHaveLength(1)
  })
})
