// The relay of a control plane that runs elsewhere (Node, Deno, a Durable Object of workerd), met as its clients meet it:
// over WebSockets and HTTP. Its rows are in its own database, changed from here through the store and the state machine;
// its agents are two of this process that publish to its NATS.
import { join } from 'node:path'
import { jetstreamManager } from '@nats-io/jetstream'
import { dialNats } from '../../control-plane/bus/nats-dial.ts'
import type { Bus } from '../../control-plane/core/bus-port.ts'
import type { JobStore } from '../../control-plane/core/ports.ts'
import { createLibsqlStore } from '../../control-plane/store/libsql-store.ts'
import type { JobEvent } from '../../shared/job-machine.ts'
import { endSeq, isStateFrame, type Frame } from '../../shared/update.ts'
import { UPDATES_STREAM } from '../../shared/subjects.ts'
import {
  allowJoining,
  assigned,
  beat,
  claimed,
  EXITED,
  join as joinFleet,
  move,
  read,
  submit,
} from '../contract/job-store.fixtures.ts'
import { joinAgent, openBus, silentLog, type TestAgent } from './nats-party.ts'
import type { Runtime } from './planes.ts'
import { openRawStream } from './raw-stream.ts'
import type { RelayUnderTest, Watcher } from './relay-under-test.ts'
import { startStack, type Stack } from './stack.ts'

const SESSION = 'ses_1'
const LONG_MS = 3_600_000
/** In which no agent is, so that the control plane's own scheduler leaves the jobs alone. */
const POOL = 'nobody-here'
const TENANT = 'default'

/** `stack` is one without agents; it ends with the relay. */
export async function servedRelay(runtime: Runtime, given?: Stack): Promise<RelayUnderTest> {
  const stack = given ?? (await startStack({ agents: 0, runtime }))
  // Two SQLites in one process must not open one file: where this process serves it, it is asked like by anybody.
  const url = stack.plane.database?.url ?? `file:${join(stack.dir, 'dray.db')}`
  const store = await createLibsqlStore({ url, log: silentLog })
  const bus = await openBus(stack.nats)
  const agents = [await joinBoth(stack, store, bus), await joinBoth(stack, store, bus)] as const
  const jobs = createJobs(store, bus, agents)
  const agentOf = (attempt: number): TestAgent => agents[attempt === 1 ? 0 : 1]
  return {
    nats: stack.nats,
    ...jobs,
    publisherOf: (job, attempt = 1, options = {}) =>
      agentOf(attempt).publisher({ tenant: TENANT, job, attempt }, options),
    resume: (job) => bus.readResume(agents[0].id, { tenant: TENANT, job, attempt: 1 }),
    attach: (job, after) => watch(stack, job, after),
    async history(job, after, limit) {
      const { updates, cursor, done } = await stack.client.history(job, { after, limit })
      return { updates: updates as unknown as Record<string, unknown>[], cursor, done }
    },
    async consumers() {
      const credentials = stack.nats.identity.controlPlaneUser
      const raw = await dialNats({ urls: [stack.nats.url], credentials, name: 'test' })
      const { state } = await (await jetstreamManager(raw)).streams.info(UPDATES_STREAM)
      await raw.close()
      return state.consumer_count
    },
    check: () => undefined,
    async close() {
      for (const { connection } of agents) await connection.close()
      await bus.close()
      await store.close()
      await stack.close()
    },
  }
}

/** One agent in the database, whose lease outlives the test, and on NATS. */
async function joinBoth({ nats }: Stack, store: JobStore, bus: Bus): Promise<TestAgent> {
  // The token is there already for the second one.
  await allowJoining(store).catch(() => undefined)
  const joined = await joinFleet(store, { session: SESSION })
  if (joined === 'bad_token') throw new Error('the join token was refused')
  await beat(store, joined.id, 1, [], { session: SESSION, leaseMs: LONG_MS })
  return joinAgent(nats, bus, { id: joined.id })
}

type Jobs = Pick<RelayUnderTest, 'queuedJob' | 'claim' | 'running' | 'giveUp' | 'finish' | 'lose' | 'cancelQueued'>

function createJobs(store: JobStore, bus: Bus, agents: readonly [TestAgent, TestAgent]): Jobs {
  let beats = 1
  const stateOf = async (id: string) => (await read(store, { tenant: TENANT, id } as never)).state
  const hint = (job: string): void => bus.publishHint({ tenant: TENANT, job })
  const step = async (job: string, event: JobEvent, facts: Parameters<typeof move>[3] = {}): Promise<void> => {
    await move(store, await stateOf(job), event, facts)
  }
  /** A beat that lists nothing: the agents hold nothing any more. */
  const letGo = async (): Promise<void> => {
    beats += 1
    for (const { id } of agents) await beat(store, id, beats, [], { session: SESSION, leaseMs: LONG_MS })
  }
  const mine = async (job: string) => {
    const { assignment } = await stateOf(job)
    if (!assignment) throw new Error(`job "${job}" is nobody's`)
    return { agent: assignment.agent, session: SESSION, attempt: assignment.attempt }
  }
  const drop = async (job: string): Promise<void> => {
    const { attempt } = await mine(job)
    await step(job, { type: 'lapsed', attempt, reason: 'the test says so' })
    await step(job, { type: 'lost', attempt })
  }
  return {
    async queuedJob(attempts = 1) {
      const retries = { max_attempts: attempts, on: attempts > 1 ? (['agent_lost'] as const) : [], backoff_seconds: 0 }
      const body = { image: 'busybox', pool: POOL, retries: { ...retries, on: [...retries.on] } }
      return (await submit(store, body, { tenant: TENANT })).state.id
    },
    async claim(job) {
      const before = await stateOf(job)
      const { id } = agents[before.attempt === 0 ? 0 : 1]
      await step(job, assigned(before, id))
      const event = { ...claimed(before, id, SESSION), beat: beats } as JobEvent
      await step(job, event, { attempt: { attempt: before.attempt + 1 } })
      hint(job)
    },
    async running(job) {
      await step(job, { type: 'reported', ...(await mine(job)), phase: 'running' })
      hint(job)
    },
    async giveUp(job) {
      await drop(job)
      hint(job)
    },
    async finish(job, { updates, held = false }) {
      const who = await mine(job)
      const event: JobEvent = { type: 'finished', ...who, exit: EXITED, result: {}, error: null, updates }
      await step(job, event, { attempt: { attempt: who.attempt, updates, exit: EXITED, error: null } })
      if (!held) await letGo()
      hint(job)
    },
    async lose(job) {
      await drop(job)
      await letGo()
      hint(job)
    },
    async cancelQueued(job) {
      await step(job, { type: 'cancel_requested', graceSeconds: 0 })
      hint(job)
    },
  }
}

function watch({ url, token }: Stack, job: string, after: number): Watcher {
  const stream = openRawStream({ url: `${url.replace('http', 'ws')}/v1/jobs/${job}/stream?after=${after}`, token })
  const told = (): Frame[] => stream.frames.filter((frame) => !isStateFrame(frame))
  return {
    get frames() {
      return stream.frames as unknown as Record<string, unknown>[]
    },
    get seqs() {
      return told().map((frame) => endSeq(frame) ?? -1)
    },
    get states() {
      return stream.frames.filter(isStateFrame) as unknown as Record<string, unknown>[]
    },
    get closed() {
      return stream.code()
    },
    detach: () => stream.leave(),
  }
}
