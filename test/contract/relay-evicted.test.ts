// The fence where the stream has lost it: what an attempt stored behind the first message of the next one is shown to
// nobody, also when that message has left the stream, being the oldest.

import { jetstreamManager } from '@nats-io/jetstream'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { dialNats } from '../../control-plane/bus/nats-dial.ts'
import { findFence } from '../../control-plane/core/attempt-fence.ts'
import { watchRow } from '../../control-plane/core/relay-rows.ts'
import type { Publisher } from '../../runner-agent/publisher.ts'
import { seqOf, terminalSeq } from '../../shared/position.ts'
import { UPDATES_STREAM } from '../../shared/subjects.ts'
import { eventually } from '../support/eventually.ts'
import { clock, keyOf, openRelayStage, publishLines, seqs, type RelayStage } from '../support/relay-stage.ts'
import { attach } from '../support/relay-watcher.ts'

let stage: RelayStage
const never = new AbortController().signal

beforeAll(async () => {
  stage = await openRelayStage()
})
afterAll(() => stage.close())

interface Story extends AsyncDisposable {
  readonly job: string
  readonly next: Publisher
  /** Stream sequence of attempt 2's first message. */
  readonly fence: number
}

/** Attempt 1 stores three lines, attempt 2 its first, attempt 1 three more. Then the stream loses all but those three. */
async function fenceIsEvicted(job: string): Promise<Story> {
  const [lost, next] = [await stage.publisherOf(job), await stage.publisherOf(job, 2)]
  await publishLines(lost, 1, 3)
  stage.table.requeue(job)
  stage.table.claim(job, 'a2')
  await publishLines(next, 1, 1)
  stage.table.phase(job, 'running', 'running')
  const fence = await stage.bus.firstSeq('a2', { ...keyOf(job), attempt: 2 })
  await publishLines(lost, 4, 6)
  await keepLast(3)
  return {
    job,
    next,
    fence: fence ?? 0,
    async [Symbol.asyncDispose]() {
      await lost.stop()
      await next.stop()
    },
  }
}

/** Only the last `count` messages stay in the stream, as if it had been full. */
async function keepLast(count: number): Promise<void> {
  const raw = await dialNats({
    urls: [stage.nats.url],
    credentials: stage.nats.identity.controlPlaneUser,
    name: 'test',
  })
  const manager = await jetstreamManager(raw)
  await manager.streams.update(UPDATES_STREAM, { max_msgs: count })
  await eventually(async () => expect((await manager.streams.info(UPDATES_STREAM)).state.messages).toBe(count))
  await manager.streams.update(UPDATES_STREAM, { max_msgs: -1 })
  await raw.close()
}

test('an attempt that stores its first update anew says where it had stood, and cuts off there', async () => {
  await using story = await fenceIsEvicted(stage.claimedJob())
  const { job, next, fence } = story
  await publishLines(next, 2, 2)
  expect(await stage.bus.firstSeq('a2', { ...keyOf(job), attempt: 2 })).toBe(fence)
  stage.table.finish(job, { updates: 2 })
  const replay = attach(stage.relay, keyOf(job), 0)
  await eventually(() => expect(replay.closed).toBe(1000))
  expect(replay.seqs.slice(0, -1)).toEqual(seqs(1, 2, 2))
})

test('a reader waits for that update where the row says that the attempt runs', async () => {
  const job = stage.claimedJob()
  await using story = await fenceIsEvicted(job)
  const early = attach(stage.relay, keyOf(job), 0)
  await eventually(() => expect(early.states).not.toEqual([]))
  await publishLines(story.next, 2, 2)
  await eventually(() => expect(early.seqs).toEqual(seqs(1, 2, 2)))
  early.detach()
})

test('where unseen messages have left the stream, its silence proves nothing: the row is waited for', async () => {
  const job = stage.claimedJob()
  const deps = {
    key: keyOf(job),
    rows: watchRow({ store: stage.table, bus: stage.bus, clock }, keyOf(job)),
    bus: stage.bus,
    clock,
  }
  await deps.rows.read()
  const mend = stage.table.cutOff()
  await using story = await fenceIsEvicted(job)
  const { streamFirstSeq, streamLastSeq } = await stage.bus.storedAttempts(keyOf(job))
  const ask = (clearSeq: number) => findFence(deps, { attempt: 1, clearSeq, hasNews: true }, never)
  // Nothing has gone that this reader has not seen: no database is needed.
  expect(await ask(streamFirstSeq - 1)).toEqual({ fence: null, clearSeq: streamLastSeq })
  const asked = ask(streamFirstSeq - 2)
  mend()
  await publishLines(story.next, 2, 2)
  expect(await asked).toMatchObject({ fence: story.fence })
  deps.rows.close()
})

test('an attempt that has left the stream whole cuts off what is left of the one before', async () => {
  const job = stage.claimedJob()
  await using story = await fenceIsEvicted(job)
  await story.next.stop()
  stage.table.finish(job, { updates: 1 })
  const replay = attach(stage.relay, keyOf(job), 0)
  await eventually(() => expect(replay.closed).toBe(1000))
  expect(replay.frames.filter(({ type }) => type === 'gap')).toEqual([
    { type: 'gap', from: seqOf(2, 1), to: seqOf(2, 1) },
  ])
  expect(replay.seqs).toEqual([seqOf(2, 1), terminalSeq(2)])
})

test('a silent job whose reader came in time says its first word without the database', async () => {
  await using other = await fenceIsEvicted(stage.claimedJob())
  expect(other.fence).toBeGreaterThan(1)
  const job = stage.claimedJob()
  const watcher = attach(stage.relay, keyOf(job), 0)
  await eventually(() => expect(watcher.states).not.toEqual([]))
  const { streamFirstSeq } = await stage.bus.storedAttempts(keyOf(job))
  expect(streamFirstSeq).toBeGreaterThan(1)
  // Answered behind all that the reader has asked.
  await stage.bus.storedAttempts(keyOf(job))
  const mend = stage.table.cutOff()
  stage.bus.publishHint(keyOf(job))
  const publisher = await stage.publisherOf(job)
  await publishLines(publisher, 1, 2)
  await eventually(() => expect(watcher.seqs).toEqual(seqs(1, 2)))
  mend()
  watcher.detach()
  await publisher.stop()
})
