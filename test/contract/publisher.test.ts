// The agent's publisher against a real nats-server: every update is stored once and in order, whatever happens to the
// connection, the server, the JWT, or to a second process that writes as well.

import { afterAll, expect, test } from 'vitest'
import { createNatsBus } from '../../control-plane/bus/nats-bus.ts'
import type { PublisherStop } from '../../runner-agent/unit-sender.ts'
import { eventually } from '../support/eventually.ts'
import {
  busIsUp,
  joinAgent,
  logUpdate,
  silentLog,
  startParty,
  storedLines,
  storedUpdates,
} from '../support/nats-party.ts'
import { startNats } from '../support/nats-server.ts'
import { startProxy } from '../support/tcp-proxy.ts'

const never = new AbortController().signal
const party = await startParty()
const { nats, bus, agent, newKey } = party
afterAll(() => party[Symbol.asyncDispose]())

test('each update is stored once, in order, and position() says so', async () => {
  const key = newKey()
  const publisher = await agent.publisher(key)
  for (let line = 1; line <= 3000; line += 1)
    await publisher.push([logUpdate(`line ${line}`)], { stdout: line, stderr: 0 })
  await publisher.flush(never)
  expect(publisher.position()).toEqual({ n: 3000, stdout_lines: 3000, stderr_lines: 0 })
  expect(await storedUpdates(bus, 'a1', key)).toEqual(storedLines(3000))
  expect(await bus.readResume('a1', key)).toMatchObject({ n: 3000, stdout_lines: 3000, session: 'ses_1' })
  await publisher.stop()
})

test('the first update leaves at once, the next ones go together', async () => {
  const key = newKey()
  const publisher = await agent.publisher(key)
  for (let line = 1; line <= 500; line += 1) publisher.offer([logUpdate(`line ${line}`)], { stdout: line, stderr: 0 })
  await publisher.flush(never)
  const sizes: number[] = []
  for await (const { batch } of bus.readBatches('a1', key, 1, never)) {
    sizes.push(batch.updates.length)
    if (batch.n + batch.updates.length > 500) break
  }
  expect(sizes.length).toBeLessThan(5)
  await publisher.stop()
})

test('an update larger than a message is stored in parts and comes out whole', async () => {
  const key = newKey()
  const publisher = await agent.publisher(key)
  const large = `"\\\n€😀${'x'.repeat(1_500_000)}😀`
  await publisher.push([logUpdate('before')], { stdout: 1, stderr: 0 })
  await publisher.push([logUpdate(large)], { stdout: 2, stderr: 0 })
  await publisher.push([logUpdate('after')], { stdout: 3, stderr: 0 })
  await publisher.flush(never)
  expect(await storedUpdates(bus, 'a1', key)).toEqual([
    [1, 'before'],
    [2, large],
    [3, 'after'],
  ])
  await publisher.stop()
})

test('a line counts as published with the last of its updates', async () => {
  const key = newKey()
  const publisher = await agent.publisher(key)
  const half = logUpdate('x'.repeat(300_000))
  publisher.offer([half, half, half], { stdout: 1, stderr: 0 })
  await publisher.flush(never)
  const counts: [number, number][] = []
  for await (const { batch } of bus.readBatches('a1', key, 1, never)) {
    counts.push([batch.n, batch.stdout_lines])
    if (batch.n === 3) break
  }
  expect(counts).toEqual([
    [1, 0],
    [2, 0],
    [3, 1],
  ])
  await publisher.stop()
})

test('it has no room beyond its bound and has room again when NATS took it', async () => {
  const publisher = await agent.publisher(newKey())
  nats.freeze()
  let taken = 0
  while (publisher.offer([logUpdate('x'.repeat(100_000))], { stdout: taken + 1, stderr: 0 })) taken += 1
  nats.thaw()
  expect(taken).toBeGreaterThan(30)
  expect(taken).toBeLessThan(60)
  await publisher.room()
  await publisher.flush(never)
  expect(publisher.position().n).toBe(taken)
  await publisher.stop()
})

test('sockets that die right after a write, 50 times, lose and double nothing', async () => {
  const lane = async (id: string): Promise<void> => {
    await using proxy = await startProxy(nats.port)
    const behind = await joinAgent(nats, bus, { id, url: `nats://127.0.0.1:${proxy.port}` })
    const key = newKey()
    const publisher = await behind.publisher(key)
    for (let line = 1; line <= 10; line += 1) {
      proxy.cutAfter(`line ${line}"`)
      await publisher.push([logUpdate(`line ${line}`)], { stdout: line, stderr: 0 })
      await publisher.flush(never)
    }
    expect(proxy.cuts).toBe(10)
    expect(await storedUpdates(bus, id, key)).toEqual(storedLines(10))
    await publisher.stop()
    await behind.connection.close()
  }
  await Promise.all(['b1', 'b2', 'b3', 'b4', 'b5'].map(lane))
})

test('a server that is killed and started again in mid-stream', async () => {
  const key = newKey()
  const publisher = await agent.publisher(key)
  const feed = (async () => {
    for (let line = 1; line <= 2000; line += 1) {
      await publisher.push([logUpdate(`line ${line}`)], { stdout: line, stderr: 0 })
      if (line % 20 === 0) await publisher.flush(never)
    }
  })()
  await eventually(() => publisher.position().n > 200)
  await nats.kill()
  await nats.start()
  await feed
  await publisher.flush(never)
  expect(await storedUpdates(bus, 'a1', key)).toEqual(storedLines(2000))
  await publisher.stop()
})

test('a server that is frozen for three seconds', async () => {
  const key = newKey()
  const publisher = await agent.publisher(key)
  const thaw = setTimeout(() => nats.thaw(), 3_000)
  for (let line = 1; line <= 600; line += 1) {
    if (line === 300) nats.freeze()
    await publisher.push([logUpdate(`line ${line}`)], { stdout: line, stderr: 0 })
    if (line < 300) await publisher.flush(never)
  }
  await publisher.flush(never)
  clearTimeout(thaw)
  // The freeze may land after the last message: never leave it to the next test.
  nats.thaw()
  expect(await storedUpdates(bus, 'a1', key)).toEqual(storedLines(600))
  await publisher.stop()
})

test('JWTs that live for three seconds are renewed under load', async () => {
  const short = await joinAgent(nats, bus, { id: 'a3', ttlSeconds: 3 })
  const renew = setInterval(
    () => void bus.mintAgentJwt('a3', short.nkey, 3).then((jwt) => short.connection.setJwt(jwt)),
    800,
  )
  const key = newKey()
  const publisher = await short.publisher(key)
  const end = performance.now() + 5_000
  let line = 0
  let worstMs = 0
  while (performance.now() < end) {
    line += 1
    const begun = performance.now()
    await publisher.push([logUpdate(`line ${line}`)], { stdout: line, stderr: 0 })
    await publisher.flush(never)
    worstMs = Math.max(worstMs, performance.now() - begun)
  }
  clearInterval(renew)
  expect(await storedUpdates(bus, 'a3', key)).toEqual(storedLines(line))
  expect(worstMs).toBeLessThan(1_500)
  await publisher.stop()
  await short.connection.close()
})

test('a second writer of the same agent: the one that had stored something stops as superseded', async () => {
  const key = newKey()
  const stops: PublisherStop[] = []
  const first = await agent.publisher(key, { session: 'ses_old', onStop: (stop) => void stops.push(stop) })
  await first.push([logUpdate('line 1')], { stdout: 1, stderr: 0 })
  await first.flush(never)
  const second = await agent.publisher(key, { session: 'ses_new' })
  await second.push([logUpdate('line 2')], { stdout: 2, stderr: 0 })
  await second.flush(never)
  await first.push([logUpdate('forked')], { stdout: 2, stderr: 0 })
  await expect(first.flush(never)).rejects.toThrow('superseded')
  expect(stops).toEqual([{ kind: 'superseded' }])
  expect(await storedUpdates(bus, 'a1', key)).toEqual(storedLines(2))
  await second.stop()
})

test('a message of the process before, stored after the grant, makes it rewind', async () => {
  const key = newKey()
  const stale = await bus.readResume('a1', key)
  const before = await agent.publisher(key, { session: 'ses_old' })
  await before.push([logUpdate('line 1')], { stdout: 1, stderr: 0 })
  await before.flush(never)
  const stops: PublisherStop[] = []
  const after = await agent.publisher(key, {
    session: 'ses_new',
    resume: stale,
    onStop: (stop) => void stops.push(stop),
  })
  await after.push([logUpdate('line 1')], { stdout: 1, stderr: 0 })
  await expect(after.flush(never)).rejects.toThrow('rewind')
  expect(stops).toMatchObject([{ kind: 'rewind', resume: { n: 1, stdout_lines: 1, session: 'ses_old' } }])
  await before.stop()
})

test('a claim that is refused stops it as fenced', async () => {
  const key = newKey()
  const stale = await bus.readResume('a1', key)
  const other = await agent.publisher(key)
  await other.push([logUpdate('line 1')], { stdout: 1, stderr: 0 })
  await other.flush(never)
  const stops: PublisherStop[] = []
  const readResume = (): Promise<'fenced'> => Promise.resolve('fenced')
  const fenced = await agent.publisher(key, { resume: stale, readResume, onStop: (stop) => void stops.push(stop) })
  await fenced.push([logUpdate('line 1')], { stdout: 1, stderr: 0 })
  await expect(fenced.flush(never)).rejects.toThrow('fenced')
  await expect(fenced.room()).rejects.toThrow('fenced')
  expect(stops).toEqual([{ kind: 'fenced' }])
  await other.stop()
})

test('a store that was wiped gets again what is remembered', async () => {
  const key = newKey()
  const publisher = await agent.publisher(key)
  for (let line = 1; line <= 50; line += 1) {
    await publisher.push([logUpdate(`line ${line}`)], { stdout: line, stderr: 0 })
    await publisher.flush(never)
  }
  await nats.kill()
  await nats.wipe()
  await nats.start()
  await busIsUp(bus)
  await publisher.push([logUpdate('line 51')], { stdout: 51, stderr: 0 })
  await publisher.flush(never)
  expect(await storedUpdates(bus, 'a1', key)).toEqual(storedLines(51))
  await publisher.stop()
})

test('NATS that was never there: it waits, keeps the order, and stop() ends it', async () => {
  await using away = await startNats()
  await away.kill()
  const lonely = await createNatsBus({
    urls: [away.url],
    identity: away.identity,
    log: silentLog,
    stream: { maxBytes: 1 << 20, maxAgeSeconds: 60 },
  })
  const waiting = await joinAgent(away, lonely, { id: 'a4' })
  const key = newKey()
  const resume = { n: 0, stdout_lines: 0, stderr_lines: 0, subject_seq: 0, session: null }
  const publisher = await waiting.publisher(key, { resume })
  publisher.offer([logUpdate('line 1')], { stdout: 1, stderr: 0 })
  expect(waiting.connection.problem()).not.toBeNull()
  expect(lonely.status()).toMatch(/^NATS: /)
  await expect(publisher.flush(AbortSignal.timeout(300))).rejects.toThrow()
  await away.start()
  await publisher.flush(never)
  expect(await storedUpdates(lonely, 'a4', key)).toEqual(storedLines(1))
  await publisher.stop()
  await waiting.connection.close()
  await lonely.close()
})
