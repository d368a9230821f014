// The two parties on a test's nats-server: a control plane's bus, and agents with JWTs that the bus minted.

import { wsconnect } from '@nats-io/nats-core'
import { createUser } from '@nats-io/nkeys'
import type { Bus } from '../../control-plane/core/bus-port.ts'
import type { Log } from '../../control-plane/core/ports.ts'
import { createNatsBus } from '../../control-plane/bus/nats-bus.ts'
import type { Dial } from '../../control-plane/bus/nats-dial.ts'
import { createAgentConnection, type AgentConnection } from '../../runner-agent/nats-connection.ts'
import { createPublisher, type Publisher, type PublisherOptions } from '../../runner-agent/publisher.ts'
import type { RunCommand } from '../../shared/agent-protocol.ts'
import type { AttemptKey } from '../../shared/subjects.ts'
import { eventually } from './eventually.ts'
import { startNats, type TestNats } from './nats-server.ts'

export const silentLog: Log = { info: () => undefined, warn: () => undefined, error: () => undefined }

/**
 * How a party dials. All parties of one test process take the same: nats.js keeps one way for the whole process, and a
 * connection that comes back takes the last one.
 */
export type Transport = 'tcp' | 'websocket'

export const dialBy = (transport: Transport): { readonly dial?: Dial } =>
  transport === 'websocket' ? { dial: wsconnect } : {}

export const urlBy = (nats: TestNats, transport: Transport): string =>
  transport === 'websocket' ? nats.websocketUrl : nats.url

export async function openBus(nats: TestNats, log: Log = silentLog, transport: Transport = 'tcp'): Promise<Bus> {
  const bus = await createNatsBus({
    urls: [urlBy(nats, transport)],
    ...dialBy(transport),
    identity: nats.identity,
    log,
    stream: { maxBytes: 256 << 20, maxAgeSeconds: 3600 },
  })
  await busIsUp(bus)
  return bus
}

export function busIsUp(bus: Bus): Promise<unknown> {
  const check = async (): Promise<void> => {
    // The stream is made after the connection is up.
    await bus.readResume('nobody', { tenant: 't', job: 'j', attempt: 1 })
    const problem = await bus.status()
    if (problem !== null) throw new Error(problem)
  }
  return eventually(check, { deadlineMs: 10_000, what: 'the bus is up' })
}

/** A server, a control plane's bus and an agent on it, and keys of attempts that nobody has used. */
export interface NatsParty extends AsyncDisposable {
  readonly nats: TestNats
  readonly bus: Bus
  readonly agent: TestAgent
  newKey(this: void): AttemptKey
}

export async function startParty(): Promise<NatsParty> {
  const nats = await startNats()
  const bus = await openBus(nats)
  const agent = await joinAgent(nats, bus, { id: 'a1' })
  let jobs = 0
  return {
    nats,
    bus,
    agent,
    newKey: () => ({ tenant: 't', job: `job${(jobs += 1)}`, attempt: 1 }),
    async [Symbol.asyncDispose]() {
      await agent.connection.close()
      await bus.close()
      await nats[Symbol.asyncDispose]()
    },
  }
}

/** What storedUpdates() gives where `line 1` to `line count` are stored, each once. */
export const storedLines = (count: number): [number, string][] =>
  Array.from({ length: count }, (_, at) => [at + 1, `line ${at + 1}`])

export interface TestAgent {
  readonly id: string
  readonly nkey: string
  readonly seed: string
  readonly jwt: string
  readonly connection: AgentConnection
  readonly commands: readonly RunCommand[]
  readonly errors: readonly unknown[]
  /** A publisher for one attempt, in a session of its own, from what is stored. */
  publisher(this: void, key: AttemptKey, options?: Partial<PublisherOptions>): Promise<Publisher>
}

export interface TestAgentOptions {
  readonly id: string
  readonly url?: string | undefined
  readonly ttlSeconds?: number | undefined
  readonly transport?: Transport
}

export async function joinAgent(nats: TestNats, bus: Bus, options: TestAgentOptions): Promise<TestAgent> {
  const key = createUser()
  const [id, nkey] = [options.id, key.getPublicKey()]
  const seed = new TextDecoder().decode(key.getSeed())
  const jwt = await bus.mintAgentJwt(id, nkey, options.ttlSeconds ?? 3600)
  const commands: RunCommand[] = []
  const errors: unknown[] = []
  const connection = createAgentConnection({
    agent: id,
    urls: [options.url ?? urlBy(nats, options.transport ?? 'tcp')],
    ...dialBy(options.transport ?? 'tcp'),
    seed,
    jwt,
    onRun: (command) => void commands.push(command),
    onError: (error) => void errors.push(error),
  })
  return {
    id,
    nkey,
    seed,
    jwt,
    connection,
    commands,
    errors,
    async publisher(attempt, overrides = {}) {
      return createPublisher({
        connection,
        agent: id,
        session: 'ses_1',
        key: attempt,
        resume: overrides.resume ?? (await bus.readResume(id, attempt)),
        readResume: () => bus.readResume(id, attempt),
        onStop: ({ kind }) => {
          throw new Error(`The publisher stopped: ${kind}`)
        },
        ...overrides,
      })
    },
  }
}

/** What a job's `n`th update looks like here. */
export function logUpdate(text: string, padding = 0): Record<string, unknown> {
  return { type: 'log_update', job_id: 'j', content: text + ' '.repeat(padding), at: '2026-11-25T10:00:00.000Z' }
}

/** Everything that is stored of an attempt now, as [n, content]. */
export async function storedUpdates(bus: Bus, agent: string, key: AttemptKey): Promise<[number, unknown][]> {
  const last = await bus.readResume(agent, key)
  const stop = new AbortController()
  const found: [number, unknown][] = []
  let text = ''
  if (last.subject_seq === 0) return found
  for await (const { streamSeq, batch } of bus.readBatches(agent, key, 1, stop.signal)) {
    const { part } = batch
    if (part) text = part.k === 1 ? part.text : text + part.text
    const whole = part?.k === part?.m && part ? [JSON.parse(text) as Record<string, unknown>] : batch.updates
    for (const [index, update] of whole.entries()) found.push([batch.n + index, update['content']])
    if (streamSeq >= last.subject_seq) break
  }
  stop.abort()
  return found
}
