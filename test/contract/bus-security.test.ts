// What agents cannot do on NATS, how their access begins and ends, and where the keys lie.

import { createUser } from '@nats-io/nkeys'
import { jetstreamManager } from '@nats-io/jetstream'
import type { NatsConnection } from '@nats-io/nats-core'
import { mkdtemp, rm, stat } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { loadOrCreateIdentity } from '../../control-plane/bus/identity-file.ts'
import { dialNats } from '../../control-plane/bus/nats-dial.ts'
import { isNewEnough } from '../../control-plane/bus/server-version.ts'
import type { Bus } from '../../control-plane/core/bus-port.ts'
import { updateSubject, UPDATES_STREAM, type AttemptKey } from '../../shared/subjects.ts'
import { eventually } from '../support/eventually.ts'
import { busIsUp, joinAgent, logUpdate, openBus, type TestAgent } from '../support/nats-party.ts'
import { startNats, type TestNats } from '../support/nats-server.ts'

let nats: TestNats
let bus: Bus
let agent: TestAgent
/** A user of account CP, as a second control plane would be one. */
let raw: NatsConnection
const never = new AbortController().signal
let jobs = 0
const newKey = (): AttemptKey => ({ tenant: 't', job: `job${(jobs += 1)}`, attempt: 1 })

beforeAll(async () => {
  nats = await startNats()
  bus = await openBus(nats)
  agent = await joinAgent(nats, bus, { id: 'a1' })
  raw = await dialNats({ urls: [nats.url], credentials: nats.identity.controlPlaneUser, name: 'test' })
})
afterAll(async () => {
  await raw.close()
  await agent.connection.close()
  await bus.close()
  await nats[Symbol.asyncDispose]()
})

test('an agent reads and writes nothing but its own, whatever it asks for', async () => {
  const manager = await jetstreamManager(raw)
  const victim = newKey()
  raw.publish(updateSubject('a2', victim), 'a2 owns this')
  await raw.flush()
  const hostile = await rawAgent('a1')
  const before = await manager.streams.info(UPDATES_STREAM)
  const heard: string[] = []
  const refused: string[] = []
  const subjects = [
    '>',
    '*',
    'upd.>',
    'upd.a1.>',
    'run.a2',
    'run.*',
    'job.>',
    '_INBOX.>',
    '_INBOX.a2.>',
    '$SYS.>',
    '$JS.>',
    '$KV.>',
  ]
  for (const subject of subjects) {
    const callback = (error: Error | null, message: { subject: string }): void =>
      void (error ? refused.push(subject) : heard.push(message.subject))
    hostile.subscribe(subject, { callback })
    hostile.subscribe(subject, { callback, queue: 'q' })
  }
  const targets = ['upd.a2.t.j.1', 'run.a2', 'job.t.j', '$JS.API.STREAM.PURGE.UPDATES', '$JS.API.STREAM.DELETE.UPDATES']
  for (const target of [...targets, '$KV.jobs.j', '$SYS.REQ.CLAIMS.UPDATE', '_INBOX.a2.x']) {
    hostile.publish(target, 'evil')
    // The acknowledgement goes where the reply says, and is written by the server.
    hostile.publish('upd.a1.t.evil.1', 'evil', { reply: target })
  }
  await hostile.flush()
  bus.publishRun('a2', { tenant: 't', job: 'j', attempt: 1, image: null })
  bus.publishHint({ tenant: 't', job: 'j' })
  await eventually(() => expect(new Set(refused).size).toBe(subjects.length))
  // Its own messages are stored, all of them and nothing else.
  await eventually(async () => {
    const { state } = await manager.streams.info(UPDATES_STREAM, { subjects_filter: 'upd.a1.t.evil.1' })
    expect(state.subjects).toEqual({ 'upd.a1.t.evil.1': 8 })
  })
  const { state } = await manager.streams.info(UPDATES_STREAM, { subjects_filter: 'upd.a2.>' })
  expect(state.messages).toBe(before.state.messages + 8)
  expect(state.subjects).toEqual({ [updateSubject('a2', victim)]: 1 })
  expect(heard).toEqual([])
  await hostile.close()
})

test('mintAgentJwt() refuses names that would open other agents to it', async () => {
  const nkey = createUser().getPublicKey()
  for (const name of ['*', '>', 'a1.b', 'a1.>', '', ' a1', '_a', 'a'.repeat(64)])
    await expect(bus.mintAgentJwt(name, nkey, 60)).rejects.toThrow('not a valid agent id')
  await expect(bus.mintAgentJwt('a1', 'not a key', 60)).rejects.toThrow()
  await expect(bus.mintAgentJwt('a1', nkey.replace(/^U/, 'A'), 60)).rejects.toThrow()
})

test("revokeAgent() ends a connection at once and for good, and nobody else's", async () => {
  const gone = await joinAgent(nats, bus, { id: 'gone' })
  const publisher = await gone.publisher(newKey(), { onStop: () => undefined })
  await publisher.push([logUpdate('line 1')], { stdout: 1, stderr: 0 })
  await publisher.flush(never)
  const second = await joinAgent(nats, bus, { id: 'gone2' })
  await eventually(() => second.connection.problem() === null)
  await Promise.all([bus.revokeAgent(gone.nkey), bus.revokeAgent(second.nkey)])
  await eventually(() => gone.connection.problem() !== null && second.connection.problem() !== null)
  await nats.kill()
  await nats.start()
  await busIsUp(bus)
  await eventually(() => agent.connection.problem() === null)
  expect(gone.connection.problem()).not.toBeNull()
  await publisher.stop()
  await gone.connection.close()
  await second.connection.close()
})

test('the identity is written once, for its owner only', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'dray-identity-'))
  const path = join(folder, 'sub', 'nats.json')
  const [first, second] = await Promise.all([loadOrCreateIdentity(path), loadOrCreateIdentity(path)])
  expect(second).toEqual(first)
  expect(await loadOrCreateIdentity(path)).toEqual(first)
  expect((await stat(path)).mode & 0o777).toBe(0o600)
  await rm(folder, { recursive: true })
})

test('servers that an agent can crash are too old', () => {
  expect(['2.10.28', '2.11.0', '2.15.1', '3.0.0', '2.14.3-beta'].map(isNewEnough)).not.toContain(false)
  expect(['2.10.27', '2.9.10', '1.4.0', 'unknown', ''].map(isNewEnough)).not.toContain(true)
})

/** A connection with an agent's credentials that does what it likes. */
async function rawAgent(id: string): Promise<NatsConnection> {
  const key = createUser()
  const credentials = {
    seed: new TextDecoder().decode(key.getSeed()),
    jwt: await bus.mintAgentJwt(id, key.getPublicKey(), 60),
  }
  return await dialNats({ urls: [nats.url], credentials, name: 'hostile' })
}
