// The relay over a real nats-server: from any cursor each update once, in order, live and from history. The row comes from a
// table in memory behind the port; it is not what is tested here.

import { afterAll, afterEach, beforeAll, expect, test } from 'vitest'
import { seqOf, terminalSeq } from '../../shared/position.ts'
import { eventually } from '../support/eventually.ts'
import { logUpdate } from '../support/nats-party.ts'
import { keyOf, openRelayStage, publishLines, seqs, type RelayStage } from '../support/relay-stage.ts'
import { attach } from '../support/relay-watcher.ts'

let stage: RelayStage
const never = new AbortController().signal

beforeAll(async () => {
  stage = await openRelayStage()
})
afterAll(() => stage.close())
afterEach(() => {
  expect(stage.relay.clientCount()).toBe(0)
  expect(stage.errors).toEqual([])
})

test('a client sees states, every update live, and the terminal only after N', async () => {
  const job = stage.queuedJob()
  const watcher = attach(stage.relay, keyOf(job), 0)
  await eventually(() => expect(watcher.states.at(-1)).toMatchObject({ status: 'starting', phase: 'queued' }))
  stage.table.claim(job, 'a1')
  const publisher = await stage.publisherOf(job)
  await publishLines(publisher, 1, 10)
  stage.table.phase(job, 'running', 'running')
  await eventually(() => expect(watcher.seqs).toEqual(seqs(1, 10)))
  // A state that ends too soon may be left out.
  await eventually(() => expect(watcher.states.at(-1)).toMatchObject({ phase: 'running' }))
  stage.table.finish(job, { updates: 15, held: true })
  await publishLines(publisher, 11, 14)
  await eventually(() => expect(watcher.seqs).toEqual(seqs(1, 14)))
  expect(watcher.closed).toBeNull()
  await publishLines(publisher, 15, 15)
  await eventually(() => expect(watcher.closed).toBe(1000))
  expect(watcher.seqs).toEqual([...seqs(1, 15), terminalSeq(1)])
  expect(watcher.states.map(({ phase }) => phase)).toEqual(['queued', 'pulling', 'running'])
  expect(watcher.frames.at(-1)).toMatchObject({ status: 'completed', attempt: 1 })
  await publisher.stop()
})

test('an ended job: cursors at the terminal are done, beyond the job bad, and no job is not found', async () => {
  const job = stage.claimedJob()
  const publisher = await stage.publisherOf(job)
  await publishLines(publisher, 1, 3)
  stage.table.finish(job, { updates: 3 })
  const watchers = [0, seqOf(1, 2), terminalSeq(1), seqOf(2, 0)].map((after) => attach(stage.relay, keyOf(job), after))
  const missing = attach(stage.relay, keyOf('missing'), 0)
  await eventually(() => expect(watchers.map(({ closed }) => closed)).toEqual([1000, 1000, 1000, 4400]))
  await eventually(() => expect(missing.closed).toBe(4404))
  expect(watchers.map(({ seqs: seen }) => seen)).toEqual([
    [...seqs(1, 3), terminalSeq(1)],
    [seqOf(1, 3), terminalSeq(1)],
    [],
    [],
  ])
  expect(watchers[0]?.states).toEqual([])
  await publisher.stop()
})

test('a job that never began ends with the terminal of attempt 0', async () => {
  const job = stage.queuedJob()
  stage.table.end(job, 'cancelled')
  const watcher = attach(stage.relay, keyOf(job), 0)
  await eventually(() => expect(watcher.closed).toBe(1000))
  expect(watcher.seqs).toEqual([terminalSeq(0)])
})

test('50 reconnects at random cursors over 5,000 updates give each once', async () => {
  const job = stage.claimedJob()
  const publisher = await stage.publisherOf(job)
  const feed = publishLines(publisher, 1, 5000, 5)
  const collected: number[] = []
  for (let connection = 0; connection < 50; connection += 1) {
    const watcher = attach(stage.relay, keyOf(job), collected.at(-1) ?? 0)
    // Cut off at an arbitrary frame, wherever the stream is by then.
    const upTo = Math.min(5000, (connection + 1) * 100 + ((connection * 37) % 61))
    await eventually(() => collected.length + watcher.seqs.length >= upTo, { what: `${upTo} updates came`, everyMs: 2 })
    watcher.detach()
    collected.push(...watcher.seqs)
  }
  await feed
  stage.table.finish(job, { updates: 5000 })
  const last = attach(stage.relay, keyOf(job), collected.at(-1) ?? 0)
  await eventually(() => expect(last.closed).toBe(1000))
  collected.push(...last.seqs)
  expect(collected).toEqual([...seqs(1, 5000), terminalSeq(1)])
  await publisher.stop()
})

test('clients of one job share one reader, and the last one takes everything with it', async () => {
  const job = stage.claimedJob()
  const publisher = await stage.publisherOf(job)
  await publishLines(publisher, 1, 100, 10)
  await eventually(async () => expect(await stage.consumers()).toBe(0))
  const watchers = [0, 0, seqOf(1, 50), seqOf(1, 100)].map((after) => attach(stage.relay, keyOf(job), after))
  await eventually(() => expect(watchers.map(({ seqs: seen }) => seen.length)).toEqual([100, 100, 50, 0]))
  await eventually(async () => expect(await stage.consumers()).toBe(1))
  expect(stage.relay.clientCount()).toBe(4)
  await publishLines(publisher, 101, 200)
  await eventually(() => expect(watchers.map(({ seqs: seen }) => seen.at(-1))).toEqual(Array(4).fill(seqOf(1, 200))))
  expect(watchers[3]?.seqs).toEqual(seqs(101, 200))
  // The one that brought the reader may go first.
  watchers[0]?.detach()
  await publishLines(publisher, 201, 210)
  await eventually(() => expect(watchers[1]?.seqs).toEqual(seqs(1, 210)))
  for (const watcher of watchers) watcher.detach()
  await eventually(async () => expect(await stage.consumers()).toBe(0))
  await publisher.stop()
})

test('an update in parts is one frame', async () => {
  const job = stage.claimedJob()
  const publisher = await stage.publisherOf(job)
  const watcher = attach(stage.relay, keyOf(job), 0)
  await publisher.push([logUpdate('large', 2_000_000)], { stdout: 1, stderr: 0 })
  await publishLines(publisher, 2, 3)
  await eventually(() => expect(watcher.seqs).toEqual(seqs(1, 3)))
  expect(String(watcher.frames.find(({ seq }) => seq === seqOf(1, 1))?.['content'])).toHaveLength(2_000_005)
  watcher.detach()
  await publisher.stop()
})

test('history gives pages of what is stored, and errors as problems', async () => {
  const job = stage.queuedJob()
  expect(await stage.relay.history(keyOf(job), 0, 10, never)).toEqual({ updates: [], cursor: 0, done: false })
  stage.table.claim(job, 'a1')
  const publisher = await stage.publisherOf(job)
  await publishLines(publisher, 1, 25, 7)
  const first = await stage.relay.history(keyOf(job), 0, 10, never)
  expect(first).toMatchObject({ cursor: seqOf(1, 10), done: false })
  expect(first.updates.map((json) => JSON.parse(json) as unknown)[9]).toMatchObject({ seq: seqOf(1, 10), attempt: 1 })
  const rest = await stage.relay.history(keyOf(job), first.cursor, 100, never)
  expect(rest).toMatchObject({ cursor: seqOf(1, 25), done: false })
  expect(await stage.relay.history(keyOf(job), rest.cursor, 100, never)).toEqual({
    updates: [],
    cursor: rest.cursor,
    done: false,
  })
  stage.table.finish(job, { updates: 25 })
  expect(await stage.relay.history(keyOf(job), rest.cursor, 100, never)).toMatchObject({
    cursor: terminalSeq(1),
    done: true,
  })
  await expect(stage.relay.history(keyOf('missing'), 0, 10, never)).rejects.toMatchObject({ code: 'not_found' })
  await expect(stage.relay.history(keyOf(job), seqOf(2, 1), 10, never)).rejects.toMatchObject({ code: 'bad_request' })
  await publisher.stop()
})

test('from publish to sink it takes milliseconds', async () => {
  const job = stage.claimedJob()
  const publisher = await stage.publisherOf(job)
  const watcher = attach(stage.relay, keyOf(job), 0)
  await publishLines(publisher, 1, 5)
  await eventually(() => expect(watcher.seqs).toEqual(seqs(1, 5)))
  const latenciesMs: number[] = []
  for (let n = 6; n <= 205; n += 1) {
    const begun = performance.now()
    publisher.offer([logUpdate(`line ${n}`)], { stdout: n, stderr: 0 })
    latenciesMs.push((await watcher.arrival(seqOf(1, n))) - begun)
  }
  latenciesMs.sort((a, b) => a - b)
  const [p50 = 0, p99 = 0] = [latenciesMs[100], latenciesMs[198]]
  console.info(`publish -> sink: p50 ${p50.toFixed(2)} ms, p99 ${p99.toFixed(2)} ms`)
  expect(p50).toBeLessThan(20)
  watcher.detach()
  await publisher.stop()
})
