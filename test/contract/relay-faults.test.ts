// The relay when something is lost, late, slow or away: what is missing is said, what is fenced stays unseen, who is too
// slow is cut off, and NATS may come and go.

import { afterAll, afterEach, beforeAll, expect, test } from 'vitest'
import { terminalSeq } from '../../shared/position.ts'
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
