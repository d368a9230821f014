// The bus for the life of one request: it dials at the first need, sends what it was given, and leaves nothing behind.
import { wsconnect } from '@nats-io/nats-core'
import { jetstreamManager } from '@nats-io/jetstream'
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest'
import { dialNats } from '../../control-plane/bus/nats-dial.ts'
import { createRequestBus, type RequestBus } from '../../control-plane/bus/request-bus.ts'
import { createPace } from '../../control-plane/core/pace.ts'
import type { Bus } from '../../control-plane/core/bus-port.ts'
import { UPDATES_STREAM } from '../../shared/subjects.ts'
import { eventually } from '../support/eventually.ts'
import { joinAgent, logUpdate, openBus, silentLog, type TestAgent } from '../support/nats-party.ts'
import { startNats, type TestNats } from '../support/nats-server.ts'

let nats: TestNats
let lasting: Bus
let agent: TestAgent
let dials = 0

beforeAll(async () => {
  nats = await startNats()
  lasting = await openBus(nats, undefined, 'websocket')
  agent = await joinAgent(nats, lasting, { id: 'a1', transport: 'websocket' })
})
beforeEach(() => (dials = 0))
afterAll(async () => {
  await agent.connection.close()
  await lasting.close()
  await nats[Symbol.asyncDispose]()
})

function requestBus(): RequestBus {
  return createRequestBus({
    urls: [nats.websocketUrl],
    identity: nats.identity,
    log: silentLog,
    stream: { maxBytes: 256 << 20, maxAgeSeconds: 3600 },
    ledger: { lastStream: () => Promise.resolve(null), noteStream: () => Promise.resolve(null) },
    streamPace: createPace(0),
    dial: (options) => {
      dials += 1
      return wsconnect(options)
    },
  })
}

test('a request that needs no NATS dials nothing, and may mint', async () => {
  const bus = requestBus()
  expect(await bus.mintAgentJwt('a1', agent.nkey, 60)).toMatch(/^ey/)
  await bus.close()
  expect(dials).toBe(0)
})

test('what was published has left when close() resolves, over one connection', async () => {
  let hints = 0
  const key = { tenant: 't', job: 'hinted' }
  const end = lasting.onHint(key, () => (hints += 1))
  // A subscription is with the server after an answer on its connection: this one's, and the agent's.
  await lasting.readResume('a1', { ...key, attempt: 1 })
  const publisher = await agent.publisher({ ...key, attempt: 1 })
  await publisher.push([logUpdate('one')], { stdout: 1, stderr: 0 })
  await publisher.flush(new AbortController().signal)
  await publisher.stop()
  const bus = requestBus()
  bus.publishRun('a1', { tenant: 't', job: 'j', attempt: 1, image: null })
  for (let hint = 0; hint < 20; hint++) bus.publishHint(key)
  await bus.close()
  expect(dials).toBe(1)
  await eventually(() => expect([hints, agent.commands.length]).toEqual([20, 1]))
  end()
})

test('it reads where the stored updates end', async () => {
  const key = { tenant: 't', job: 'stored', attempt: 1 }
  const publisher = await agent.publisher(key)
  publisher.offer([logUpdate('one'), logUpdate('two')], { stdout: 2, stderr: 0 })
  await publisher.flush(new AbortController().signal)
  const bus = requestBus()
  const last = await bus.lastSeq('a1', key)
  expect(await bus.readResume('a1', key)).toMatchObject({ n: 2, subject_seq: last, session: 'ses_1' })
  expect(await bus.firstSeq('a1', key)).toBe(last)
  await bus.close()
  await publisher.stop()
})

test('it makes the stream where it is missing', async () => {
  const credentials = nats.identity.controlPlaneUser
  const raw = await dialNats({ urls: [nats.websocketUrl], credentials, name: 'test', dial: wsconnect })
  const manager = await jetstreamManager(raw)
  await manager.streams.delete(UPDATES_STREAM)
  const bus = requestBus()
  await bus.tend()
  expect((await manager.streams.info(UPDATES_STREAM)).config.deny_purge).toBe(true)
  await bus.close()
  await raw.close()
})

test('with NATS away it says so within seconds, and close() resolves', async () => {
  await nats.kill()
  const bus = requestBus()
  bus.publishHint({ tenant: 't', job: 'j' })
  expect(await bus.status()).toMatch(/^NATS: /)
  await expect(bus.readResume('a1', { tenant: 't', job: 'j', attempt: 1 })).rejects.toMatchObject({
    code: 'unavailable',
  })
  await bus.close()
  await nats.start()
})
