// What every adapter of the port Bus promises, over a real nats-server in operator mode with the accounts that production
// has. An adapter's test file calls this with its way to dial.

import { jetstreamManager, type JetStreamManager } from '@nats-io/jetstream'
import type { NatsConnection } from '@nats-io/nats-core'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { dialNats } from '../../control-plane/bus/nats-dial.ts'
import type { Bus, StoredBatch } from '../../control-plane/core/bus-port.ts'
import type { Publisher } from '../../runner-agent/publisher.ts'
import { updateSubject, UPDATES_STREAM, type AttemptKey } from '../../shared/subjects.ts'
import { eventually } from '../support/eventually.ts'
import {
  busIsUp,
  dialBy,
  joinAgent,
  logUpdate,
  openBus,
  storedUpdates,
  urlBy,
  type TestAgent,
  type Transport,
} from '../support/nats-party.ts'
import { startNats, type TestNats } from '../support/nats-server.ts'

export function busContract(transport: Transport): void {
  let nats: TestNats
  let bus: Bus
  let agent: TestAgent
  /** A user of account CP, as a second control plane would be one. */
  let raw: NatsConnection
  const warnings: string[] = []
  const never = new AbortController().signal
  let jobs = 0
  const newKey = (attempt = 1): AttemptKey => ({ tenant: 't', job: `job${(jobs += 1)}`, attempt })

  beforeAll(async () => {
    nats = await startNats()
    const log = { info: () => undefined, warn: (text: string) => void warnings.push(text), error: () => undefined }
    bus = await openBus(nats, log, transport)
    agent = await joinAgent(nats, bus, { id: 'a1', transport })
    const credentials = nats.identity.controlPlaneUser
    raw = await dialNats({ urls: [urlBy(nats, transport)], credentials, name: 'test', ...dialBy(transport) })
  })
  afterAll(async () => {
    await raw.close()
    await agent.connection.close()
    await bus.close()
    await nats[Symbol.asyncDispose]()
  })

  async function publishLines(publisher: Publisher, from: number, to: number, each: number): Promise<void> {
    for (let line = from; line <= to; line += each) {
      const updates = Array.from({ length: Math.min(each, to - line + 1) }, (_, at) => logUpdate(`line ${line + at}`))
      publisher.offer(updates, { stdout: line, stderr: 0 })
      await publisher.flush(never)
    }
  }

  /** nats.js drops what is asked before it has noticed a restart, and comes back by itself: so it is asked again. */
  function managerOfRaw(): Promise<JetStreamManager> {
    return eventually(() => jetstreamManager(raw, { timeout: 1_000 }), {
      deadlineMs: 10_000,
      what: 'the raw connection is back',
    })
  }

  async function consumers(): Promise<number> {
    const manager = await managerOfRaw()
    return (await manager.streams.info(UPDATES_STREAM)).state.consumer_count
  }

  test('publishRun() reaches the agent it names', async () => {
    await eventually(() => {
      bus.publishRun('a1', { tenant: 't', job: 'j', attempt: 1, image: 'busybox' })
      expect(agent.commands[0]).toEqual({ tenant: 't', job: 'j', attempt: 1, image: 'busybox' })
    })
  })

  test('onHint() hears each hint of its job and no other, until it is ended', async () => {
    let heard = 0
    const end = bus.onHint({ tenant: 't', job: 'hinted' }, () => (heard += 1))
    bus.publishHint({ tenant: 't', job: 'other' })
    bus.publishHint({ tenant: 't', job: 'hinted' })
    bus.publishHint({ tenant: 't', job: 'hinted' })
    await eventually(() => heard === 2)
    end()
    bus.publishHint({ tenant: 't', job: 'hinted' })
    await bus.readResume('a1', newKey())
    expect(heard).toBe(2)
  })

  test('readResume(), firstSeq() and lastSeq() say what is stored of an attempt', async () => {
    const key = newKey()
    expect(await bus.readResume('a1', key)).toMatchObject({ n: 0, subject_seq: 0, session: null })
    expect(await bus.firstSeq('a1', key)).toBeNull()
    expect(await bus.lastSeq('a1', key)).toBe(0)
    const publisher = await agent.publisher(key)
    await publishLines(publisher, 1, 6, 2)
    const last = await bus.lastSeq('a1', key)
    expect(await bus.firstSeq('a1', key)).toBe(last - 2)
    expect(await bus.readResume('a1', key)).toEqual({
      n: 6,
      stdout_lines: 5,
      stderr_lines: 0,
      subject_seq: last,
      session: 'ses_1',
    })
    await publisher.stop()
  })

  test('storedAttempts() names who stored what of a job, and knows nothing of other jobs', async () => {
    const first = newKey()
    const [second, other] = [{ ...first, attempt: 12 }, newKey(3)]
    expect((await bus.storedAttempts(first)).attempts).toEqual([])
    for (const key of [first, second, other]) {
      const publisher = await agent.publisher(key)
      await publishLines(publisher, 1, 2, 1)
      await publisher.stop()
    }
    expect(await bus.storedAttempts(other)).toMatchObject({
      streamFirstSeq: 1,
      streamLastSeq: await bus.lastSeq('a1', other),
    })
    for (const attempt of ['0', 'x', '12.1']) raw.publish(`upd.a1.t.${first.job}.${attempt}`, 'junk')
    await raw.flush()
    const { attempts } = await bus.storedAttempts(first)
    expect(attempts.toSorted((a, b) => a.attempt - b.attempt)).toEqual([
      { agent: 'a1', attempt: 1 },
      { agent: 'a1', attempt: 12 },
    ])
    expect((await bus.storedAttempts(other)).attempts).toEqual([{ agent: 'a1', attempt: 3 }])
  })

  test('readBatches() begins at any n among the messages of others, reading little before it', async () => {
    const [key, noise] = [newKey(), newKey()]
    const [publisher, other] = [await agent.publisher(key), await agent.publisher(noise)]
    for (let line = 1; line <= 900; line += 3) {
      await publishLines(publisher, line, line + 2, 3)
      if (line % 2 === 0) await publishLines(other, line, line, 1)
    }
    for (const from of [1, 2, 3, 4, 450, 451, 777, 898, 899, 900]) {
      const skipped: StoredBatch[] = []
      for await (const stored of bus.readBatches('a1', key, from, never)) {
        if (stored.batch.n + stored.batch.updates.length > from) {
          expect(stored.batch.n).toBeLessThanOrEqual(from)
          break
        }
        skipped.push(stored)
      }
      expect(skipped.length).toBeLessThan(40)
    }
    await publisher.stop()
    await other.stop()
  })

  test('readBatches() leaves no consumer behind', async () => {
    await eventually(async () => expect(await consumers()).toBe(0))
    const stop = new AbortController()
    const reading = (async () => {
      for await (const stored of bus.readBatches('a1', newKey(), 1, stop.signal)) expect(stored).toBeNull()
    })()
    await eventually(async () => expect(await consumers()).toBe(1))
    stop.abort()
    await reading
    await eventually(async () => expect(await consumers()).toBe(0))
  })

  /** Reads live while something happens to the store, and says which n came. */
  async function readThrough(disturb: () => Promise<void>, to: number): Promise<number[]> {
    const key = newKey()
    const publisher = await agent.publisher(key)
    const seen: number[] = []
    const reading = (async () => {
      for await (const { batch } of bus.readBatches('a1', key, 1, never)) {
        seen.push(batch.n)
        if (batch.n === to) return
      }
    })()
    await publishLines(publisher, 1, to / 2, 1)
    await eventually(() => seen.length >= to / 2)
    await disturb()
    await publishLines(publisher, to / 2 + 1, to, 1)
    await reading
    await publisher.stop()
    return seen
  }

  const upTo = (to: number): number[] => Array.from({ length: to }, (_, at) => at + 1)

  test('readBatches() goes on after its consumer was deleted', async () => {
    const deleteAll = async (): Promise<void> => {
      const manager = await managerOfRaw()
      for await (const { name } of manager.consumers.list(UPDATES_STREAM))
        await manager.consumers.delete(UPDATES_STREAM, name)
    }
    expect(await readThrough(deleteAll, 20)).toEqual(upTo(20))
  })

  test('readBatches() goes on after NATS was killed and started again', async () => {
    const restart = async (): Promise<void> => {
      await nats.kill()
      await nats.start()
      await busIsUp(bus)
    }
    expect(await readThrough(restart, 20)).toEqual(upTo(20))
  })

  test('a wiped store: the stream is made again, and readers go on at their n', async () => {
    let hints = 0
    const end = bus.onHint({ tenant: 't', job: 'wiped' }, () => (hints += 1))
    const wipe = async (): Promise<void> => {
      await nats.kill()
      await eventually(async () => expect(await bus.status()).toMatch(/^NATS: /))
      await nats.wipe()
      await nats.start()
      await busIsUp(bus)
    }
    // What the agent remembers is stored again, and not read again.
    expect(await readThrough(wipe, 20)).toEqual(upTo(20))
    // Hints of the outage are lost, so everybody is called once.
    expect(hints).toBeGreaterThanOrEqual(1)
    end()
  })

  test('a deleted stream is made again within seconds', async () => {
    const manager = await managerOfRaw()
    await manager.streams.delete(UPDATES_STREAM)
    await busIsUp(bus)
    expect((await manager.streams.info(UPDATES_STREAM)).config).toMatchObject({ deny_purge: true, deny_delete: true })
  })

  test('readBatches() throws unavailable when NATS stays away', { timeout: 30_000 }, async () => {
    await using away = await startNats()
    const cutOff = await openBus(away, undefined, transport)
    await away.kill()
    const read = async (): Promise<void> => {
      for await (const stored of cutOff.readBatches('a1', newKey(), 1, never)) expect(stored).toBeNull()
    }
    await expect(read()).rejects.toMatchObject({ code: 'unavailable' })
    await expect(cutOff.readResume('a1', newKey())).rejects.toMatchObject({ code: 'unavailable' })
    cutOff.publishHint({ tenant: 't', job: 'j' })
    await cutOff.close()
  })

  test('junk that an agent stores is dropped and told once', async () => {
    const key = newKey()
    const subject = updateSubject('a1', key)
    for (const junk of ['', 'null', '{}', '{"session":"s","n":0,"updates":[{}],"stdout_lines":0,"stderr_lines":0}'])
      raw.publish(subject, junk)
    raw.publish(
      subject,
      JSON.stringify({ session: 's', n: 2 ** 32 - 1, updates: [{}], stdout_lines: 0, stderr_lines: 0 }),
    )
    const good = { session: 's', n: 1, updates: [logUpdate('line 1')], stdout_lines: 1, stderr_lines: 0 }
    raw.publish(subject, JSON.stringify(good))
    await raw.flush()
    expect(await storedUpdates(bus, 'a1', key)).toEqual([[1, 'line 1']])
    expect(warnings.filter((text) => text.includes('no batches'))).toHaveLength(1)
  })
}
