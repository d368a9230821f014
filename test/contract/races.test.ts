// Many at once on one real store: cancels against finishes, agents that drop what they claimed, bursts of submits. Exactly
// one outcome of each, the same for everybody. NATS is away in this file.
import { Agent, request } from 'node:http'
import { json } from 'node:stream/consumers'
import { afterEach, beforeEach, expect, it } from 'vitest'
import { createNatsBus } from '../../control-plane/bus/nats-bus.ts'
import { createIdentity } from '../../control-plane/bus/nats-identity.ts'
import { createCore } from '../../control-plane/core/create-core.ts'
import { createTimerClock } from '../../control-plane/entry/timer-clock.ts'
import type { JobStore } from '../../control-plane/core/ports.ts'
import type { JobState } from '../../shared/job.ts'
import { startTestControlPlane, type TestControlPlane } from '../support/control-plane.ts'
import { makeDatabaseFolder } from '../support/database-folder.ts'
import { eventually } from '../support/eventually.ts'
import { silentLog } from '../support/nats-party.ts'
import { assigned, EXITED, keyOf, liveAgent, move, read, runOn, submit } from './job-store.fixtures.ts'

let plane: TestControlPlane
beforeEach(async () => {
  plane = await startTestControlPlane({ DRAY_LEASE_SECONDS: '4' })
})
afterEach(() => plane.close())

const now = new Date().toISOString()
const END = { exit: EXITED, started_at: now, finished_at: now, image_digest: null, updates: 0 }

async function ends(store: JobStore, state: JobState): Promise<number> {
  return (await store.readTransitions(keyOf(state))).filter(({ phase }) => phase === 'finished').length
}

async function after<T>(turns: number, call: () => Promise<T>): Promise<T> {
  for (let turn = 0; turn < turns; turn++) await new Promise((resolve) => setImmediate(resolve))
  return call()
}

/** The core itself on a database of its own, with one agent. */
async function openCore() {
  const folder = await makeDatabaseFolder()
  const store = await folder.open('dray.db')
  const stream = { maxBytes: 1 << 20, maxAgeSeconds: 60 }
  const identity = await createIdentity()
  const bus = await createNatsBus({ urls: ['nats://127.0.0.1:1'], identity, log: silentLog, stream })
  const config = { leaseMs: 60_000, outputBytes: 1, lineBytes: 1, cpuOvercommit: 1, natsJwtSeconds: 60 }
  const core = createCore({ store, bus, clock: createTimerClock(), log: silentLog, config })
  const agent = await store.readAgent(await liveAgent(store))
  if (!agent) throw new Error('the agent is not there')
  return {
    core,
    store,
    agent,
    async [Symbol.asyncDispose]() {
      await core.close()
      await bus.close()
      await store.close()
      await folder.remove()
    },
  }
}

interface Submitted {
  readonly status: number
  readonly id: unknown
}

/** Many callers that share some connections, as those behind a proxy do. */
function openCallers({ url, adminKey }: TestControlPlane, connections: number) {
  const agent = new Agent({ keepAlive: true, maxSockets: connections })
  return {
    submit: (key?: string): Promise<Submitted> =>
      new Promise((resolve, reject) => {
        const headers = {
          authorization: `Bearer ${adminKey}`,
          'content-type': 'application/json',
          ...(key === undefined ? {} : { 'idempotency-key': key }),
        }
        const call = request(`${url}/v1/jobs`, { method: 'POST', agent, headers }, (response) => {
          json(response).then(
            (body) => resolve({ status: response.statusCode ?? 0, id: (body as { id?: unknown }).id }),
            reject,
          )
        })
        call.once('error', reject)
        call.end(JSON.stringify({ image: 'x', pool: 'nobody' }))
      }),
    [Symbol.asyncDispose]: () => Promise.resolve(agent.destroy()),
  }
}

it('1,000 cancels against finishes and claims: one outcome each, and every caller hears the one that is', async () => {
  await using stage = await openCore()
  const { core, store, agent } = stage
  const call = { agent, session: 's1' }
  const claimed = await Promise.all(Array.from({ length: 500 }, () => runOn(store, agent.id)))
  const placed = await Promise.all(
    Array.from({ length: 500 }, async () => {
      const { state } = await submit(store)
      return move(store, state, assigned(state, agent.id))
    }),
  )
  /** The other one is some turns of the event loop behind, or the cancel is. */
  const race = async (state: JobState, other: () => Promise<unknown>, index: number) => {
    const [cancelTurns, otherTurns] = index % 2 ? [0, index % 10] : [index % 10, 0]
    const [cancelled, answered] = await Promise.allSettled([
      after(cancelTurns, () => core.cancelJob(keyOf(state), 1)),
      after(otherTurns, other),
    ])
    return { state, cancelled: cancelled.status === 'fulfilled', other: answered.status === 'fulfilled' }
  }
  const finishes = claimed.map(({ state }, index) =>
    race(state, () => core.finish(call, keyOf(state), { ...END, exit: EXITED, attempt: 1 }), index),
  )
  const claims = placed.map(({ state }, index) =>
    race(state, () => core.claim(call, keyOf(state), { attempt: 1, beat: 1, adopt: false }), index),
  )
  for (const { state, other } of await Promise.all(finishes)) {
    // It had ended by itself: no cancel changes that, and its agent is never refused.
    expect((await read(store, state)).state).toMatchObject({ status: 'completed', attempt: 1, assignment: null })
    expect(other).toBe(true)
    expect(await ends(store, state)).toBe(1)
  }
  const granted = (await Promise.all(claims)).filter(({ other }) => other)
  for (const { state, cancelled, other } of await Promise.all(claims)) {
    const job = (await read(store, state)).state
    expect(cancelled).toBe(true)
    // Either nobody ever runs it, or who runs it is told to stop.
    if (other) expect(job).toMatchObject({ status: 'starting', cancel: { grace_seconds: 1 } })
    else expect(job).toMatchObject({ status: 'cancelled', attempt: 0 })
    expect(await ends(store, state)).toBe(other ? 0 : 1)
  }
  // A race that one side always wins is none.
  expect(granted.length).toBeGreaterThan(0)
  expect(granted.length).toBeLessThan(500)
}, 60_000)

it('an agent that drops each attempt: the job ends with agent_lost once, after max_attempts', async () => {
  const agent = await plane.joinAgent('crasher')
  const retries = { max_attempts: 3, on: ['agent_lost'], backoff_seconds: 1 }
  const body = { image: 'x', pool: agent.pool, retries, lost_after_seconds: 1 }
  const id = String((await plane.call('POST', '/v1/jobs', { body })).body['id'])
  let beat = 0
  const wanted = async (): Promise<{ job: string; attempt: number; want: string }[]> => {
    beat += 1
    const { body: answer } = await agent.call('/heartbeat', { beat, boot_id: 'boot', attempts: [] })
    return answer['attempts'] as { job: string; attempt: number; want: string }[]
  }
  const job = await eventually(
    async () => {
      // Claims what it is told to, and its next beat holds nothing of it.
      for (const { attempt, want } of await wanted())
        if (want === 'run') await agent.call(`/jobs/default/${id}/claim`, { attempt, beat })
      const { body: shown } = await plane.call('GET', `/v1/jobs/${id}`)
      if (shown['status'] !== 'error') throw new Error(`it is ${String(shown['phase'])}`)
      return shown
    },
    { deadlineMs: 40_000, everyMs: 200 },
  )
  expect(job).toMatchObject({ attempt: 3, error: { code: 'agent_lost' }, exit: { reason: 'lost' } })
  expect(job['attempts']).toHaveLength(3)
  expect((job['transitions'] as { phase: string }[]).filter(({ phase }) => phase === 'finished')).toHaveLength(1)
}, 60_000)

it('10,000 submits at once: each is one job or refused, and 1,000 with one key are one job', async () => {
  // All in flight over so many connections; one for each would be a test of this process's own sockets.
  await using callers = openCallers(plane, 500)
  const burst = await Promise.all(Array.from({ length: 10_000 }, () => callers.submit()))
  // Whoever is refused is told so, and nothing was stored for him.
  const accepted = burst.filter(({ status }) => status === 201)
  expect(burst.filter(({ status }) => ![201, 429, 503].includes(status))).toEqual([])
  expect(new Set(accepted.map(({ id }) => id)).size).toBe(accepted.length)
  expect(accepted.length).toBeGreaterThan(5_000)
  const same = await Promise.all(Array.from({ length: 1_000 }, () => callers.submit('the-same')))
  expect(new Set(same.map(({ id }) => id)).size).toBe(1)
  expect(same.filter(({ status }) => status === 201)).toHaveLength(1)
  const { text } = await plane.call('GET', '/metrics')
  expect(text).toContain(`dray_jobs{phase="queued"} ${accepted.length + 1}\n`)
}, 120_000)
