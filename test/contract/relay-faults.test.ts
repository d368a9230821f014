// The relay when something is lost, late, slow or away: what is missing is said, what is fenced stays unseen, who is too
// slow is cut off, and NATS may come and go.

import { afterAll, afterEach, beforeAll, expect, test } from 'vitest'
import { seqOf, terminalSeq } from '../../shared/position.ts'
import { eventually } from '../support/eventually.ts'
import { busIsUp, logUpdate } from '../support/nats-party.ts'
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

test('a client that does not read is closed 4408 while another one misses nothing', async () => {
  const job = stage.claimedJob()
  const publisher = await stage.publisherOf(job)
  const fast = attach(stage.relay, keyOf(job), 0)
  const slow = attach(stage.relay, keyOf(job), 0)
  await publishLines(publisher, 1, 5)
  await eventually(() => expect(slow.seqs).toEqual(seqs(1, 5)))
  slow.stall()
  for (let line = 6; line <= 40; line += 1) {
    await publisher.push([logUpdate(`line ${line}`, 100_000)], { stdout: line, stderr: 0 })
  }
  await eventually(() => expect(slow.closed).toBe(4408))
  await eventually(() => expect(fast.seqs).toEqual(seqs(1, 40)))
  expect(fast.closed).toBeNull()
  expect(slow.unsentBytes).toBeLessThan(3 << 20)
  fast.detach()
  const again = attach(stage.relay, keyOf(job), slow.seqs.at(-1) ?? 0)
  await eventually(() => expect([...slow.seqs, ...again.seqs]).toEqual(seqs(1, 40)))
  again.detach()
  await publisher.stop()
})

test('a replay is paced: a slow reader of a long history is not cut off', async () => {
  const job = stage.claimedJob()
  const publisher = await stage.publisherOf(job)
  for (let line = 1; line <= 80; line += 1)
    await publisher.push([logUpdate(`line ${line}`, 100_000)], { stdout: line, stderr: 0 })
  await publisher.flush(never)
  stage.table.finish(job, { updates: 80 })
  const watcher = attach(stage.relay, keyOf(job), 0)
  watcher.stall()
  const drain = setInterval(() => watcher.take(600_000), 20)
  await eventually(() => expect(watcher.closed).toBe(1000))
  clearInterval(drain)
  expect(watcher.seqs).toEqual([...seqs(1, 80), terminalSeq(1)])
  expect(watcher.mostUnsentBytes).toBeLessThan(3 << 20)
  await publisher.stop()
})

test('numbers that are missing in the store are a gap, and so is what never came before N', async () => {
  const job = stage.claimedJob()
  const first = await stage.publisherOf(job)
  await publishLines(first, 1, 3)
  await first.stop()
  const resume = await stage.bus.readResume('a1', { tenant: 't', job, attempt: 1 })
  const jumped = await stage.publisherOf(job, 1, { resume: { ...resume, n: 10 } })
  const watcher = attach(stage.relay, keyOf(job), 0)
  await eventually(() => expect(watcher.seqs).toEqual(seqs(1, 3)))
  await publishLines(jumped, 11, 12)
  await eventually(() => expect(watcher.seqs.at(-1)).toBe(seqOf(1, 12)))
  stage.table.finish(job, { updates: 20, held: false })
  await eventually(() => expect(watcher.closed).toBe(1000))
  expect(watcher.frames.filter(({ type }) => type === 'gap')).toEqual([
    { type: 'gap', from: seqOf(1, 4), to: seqOf(1, 10) },
    { type: 'gap', from: seqOf(1, 13), to: seqOf(1, 20) },
  ])
  expect(watcher.seqs).toEqual([...seqs(1, 3), seqOf(1, 10), seqOf(1, 11), seqOf(1, 12), seqOf(1, 20), terminalSeq(1)])
  await jumped.stop()
})

test('what attempt 1 stores after the first message of attempt 2 is never shown, live or in a replay', async () => {
  const job = stage.claimedJob()
  const [lost, next] = [await stage.publisherOf(job), await stage.publisherOf(job, 2)]
  const watcher = attach(stage.relay, keyOf(job), 0)
  await publishLines(lost, 1, 5)
  await eventually(() => expect(watcher.seqs).toEqual(seqs(1, 5)))
  stage.table.phase(job, 'running', 'reconnecting', { held: true })
  stage.table.requeue(job, { held: true })
  stage.table.claim(job, 'a2')
  await publishLines(next, 1, 1)
  await publishLines(lost, 6, 9)
  await publishLines(next, 2, 4)
  await publishLines(lost, 10, 12)
  const wanted = [...seqs(1, 5), ...seqs(1, 4, 2)]
  await eventually(() => expect(watcher.seqs).toEqual(wanted))
  stage.table.finish(job, { updates: 4 })
  await eventually(() => expect(watcher.closed).toBe(1000))
  const replay = attach(stage.relay, keyOf(job), 0)
  await eventually(() => expect(replay.closed).toBe(1000))
  expect(replay.seqs).toEqual([...wanted, terminalSeq(2)])
  expect(watcher.seqs).toEqual(replay.seqs)
  expect((await stage.relay.history(keyOf(job), 0, 1000, never)).updates).toHaveLength(10)
  await lost.stop()
  await next.stop()
})

test('what attempt 1 stores after attempt 2 has begun stays unseen where hints are lost and the database is away', async () => {
  const job = stage.claimedJob()
  stage.table.lease(job, 0)
  const [lost, next] = [await stage.publisherOf(job), await stage.publisherOf(job, 2)]
  const watcher = attach(stage.relay, keyOf(job), 0)
  await publishLines(lost, 1, 3)
  await eventually(() => expect(watcher.seqs).toEqual(seqs(1, 3)))
  const mend = stage.table.cutOff()
  stage.table.requeue(job)
  stage.table.claim(job, 'a2')
  await publishLines(next, 1, 1)
  await publishLines(lost, 4, 6)
  mend()
  await eventually(() => expect(watcher.seqs).toEqual([...seqs(1, 3), ...seqs(1, 1, 2)]))
  watcher.detach()
  await lost.stop()
  await next.stop()
})

test("a job's updates do not wait for the database at all", async () => {
  const job = stage.claimedJob()
  stage.table.lease(job, 0)
  const publisher = await stage.publisherOf(job)
  const watcher = attach(stage.relay, keyOf(job), 0)
  await publishLines(publisher, 1, 1)
  await eventually(() => expect(watcher.seqs).toEqual(seqs(1, 1)))
  const mend = stage.table.cutOff()
  await publishLines(publisher, 2, 9)
  await eventually(() => expect(watcher.seqs).toEqual(seqs(1, 9)))
  mend()
  watcher.detach()
  await publisher.stop()
})

test('junk of an agent that has no part in a job takes none of its updates away', async () => {
  const job = stage.claimedJob()
  stage.table.lease(job, 0)
  const [publisher, stranger] = [await stage.publisherOf(job), await stage.publisherOf(job, 2)]
  const watcher = attach(stage.relay, keyOf(job), 0)
  await publishLines(stranger, 1, 1)
  await publishLines(publisher, 1, 3)
  await eventually(() => expect(watcher.seqs).toEqual(seqs(1, 3)))
  const mend = stage.table.cutOff()
  await publishLines(publisher, 4, 6)
  // Whether it is junk, only the row can tell: what comes meanwhile is late, and not lost.
  mend()
  await eventually(() => expect(watcher.seqs).toEqual(seqs(1, 6)))
  watcher.detach()
  await publisher.stop()
  await stranger.stop()
})

test('an attempt that was lost with its agent ends with what is stored', async () => {
  const job = stage.claimedJob()
  const publisher = await stage.publisherOf(job)
  await publishLines(publisher, 1, 4)
  const watcher = attach(stage.relay, keyOf(job), 0)
  await eventually(() => expect(watcher.seqs).toEqual(seqs(1, 4)))
  stage.table.end(job, 'error')
  await eventually(() => expect(watcher.closed).toBe(1000))
  expect(watcher.seqs).toEqual([...seqs(1, 4), terminalSeq(1)])
  await publisher.stop()
})

test('NATS that restarts under a watching client costs it nothing', async () => {
  const job = stage.claimedJob()
  const publisher = await stage.publisherOf(job)
  const watcher = attach(stage.relay, keyOf(job), 0)
  await publishLines(publisher, 1, 20)
  await eventually(() => expect(watcher.seqs).toEqual(seqs(1, 20)))
  await stage.nats.kill()
  await stage.nats.start()
  await publishLines(publisher, 21, 40)
  await busIsUp(stage.bus)
  await eventually(() => expect(watcher.seqs).toEqual(seqs(1, 40)))
  expect(watcher.closed).toBeNull()
  watcher.detach()
  await publisher.stop()
})

test('NATS that stays away closes with 1013, and the row alone still answers', { timeout: 30_000 }, async () => {
  const [job, ended] = [stage.claimedJob(), stage.queuedJob()]
  stage.table.end(ended, 'cancelled')
  const watcher = attach(stage.relay, keyOf(job), 0)
  const publisher = await stage.publisherOf(job)
  await publishLines(publisher, 1, 1)
  await eventually(() => expect(watcher.seqs).toEqual(seqs(1, 1)))
  await stage.nats.kill()
  const answered = attach(stage.relay, keyOf(ended), 0)
  await eventually(() => expect(answered.closed).toBe(1000))
  await eventually(() => expect(watcher.closed).toBe(1013), { deadlineMs: 10_000 })
  await stage.nats.start()
  await busIsUp(stage.bus)
  const again = attach(stage.relay, keyOf(job), 0)
  await eventually(() => expect(again.seqs).toEqual(seqs(1, 1)))
  again.detach()
  await publisher.stop()
})
