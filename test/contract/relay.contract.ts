// What every adapter of the port Relay promises, over a real nats-server: from any cursor each update once, in order, live
// and from history; what is missing is said, what is fenced stays unseen, and NATS may come and go. An adapter's test file
// calls this; what only a relay in the same process can show (buffers, a database that is cut off) stays in its own file.
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest'
import { seqOf, terminalSeq } from '../../shared/position.ts'
import { eventually } from '../support/eventually.ts'
import { logUpdate } from '../support/nats-party.ts'
import { publishLines, seqs } from '../support/relay-stage.ts'
import type { RelayUnderTest } from '../support/relay-under-test.ts'

export function relayContract(open: () => Promise<RelayUnderTest>): void {
  let stage: RelayUnderTest
  beforeAll(async () => {
    stage = await open()
  })
  afterAll(() => stage.close())
  afterEach(() => stage.check())
  const claimedJob = async (attempts = 1): Promise<string> => {
    const job = await stage.queuedJob(attempts)
    await stage.claim(job)
    return job
  }

  test('a client sees states, every update live, and the terminal only after N', async () => {
    const job = await stage.queuedJob()
    const watcher = stage.attach(job, 0)
    await eventually(() => expect(watcher.states.at(-1)).toMatchObject({ status: 'starting', phase: 'queued' }))
    await stage.claim(job)
    const publisher = await stage.publisherOf(job)
    await publishLines(publisher, 1, 10)
    await stage.running(job)
    await eventually(() => expect(watcher.seqs).toEqual(seqs(1, 10)))
    // A state that ends too soon may be left out.
    await eventually(() => expect(watcher.states.at(-1)).toMatchObject({ phase: 'running' }))
    await stage.finish(job, { updates: 15, held: true })
    await publishLines(publisher, 11, 14)
    await eventually(() => expect(watcher.seqs).toEqual(seqs(1, 14)))
    expect(watcher.closed).toBeNull()
    await publishLines(publisher, 15, 15)
    await eventually(() => expect(watcher.closed).toBe(1000))
    expect(watcher.seqs).toEqual([...seqs(1, 15), terminalSeq(1)])
    const phases = watcher.states.map(({ phase }) => phase).filter((phase) => phase !== 'assigned')
    expect(phases).toEqual(['queued', 'pulling', 'running'])
    expect(watcher.frames.at(-1)).toMatchObject({ status: 'completed', attempt: 1 })
    await publisher.stop()
  })

  test('an ended job: cursors at the terminal are done, beyond the job bad, and no job is not found', async () => {
    const job = await claimedJob()
    const publisher = await stage.publisherOf(job)
    await publishLines(publisher, 1, 3)
    await stage.finish(job, { updates: 3 })
    const watchers = [0, seqOf(1, 2), terminalSeq(1), seqOf(2, 0)].map((after) => stage.attach(job, after))
    const missing = stage.attach('missing', 0)
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
    const job = await stage.queuedJob()
    await stage.cancelQueued(job)
    const watcher = stage.attach(job, 0)
    await eventually(() => expect(watcher.closed).toBe(1000))
    expect(watcher.seqs).toEqual([terminalSeq(0)])
  })

  test('50 reconnects at random cursors over 5,000 updates give each once', async () => {
    const job = await claimedJob()
    const publisher = await stage.publisherOf(job)
    const feed = publishLines(publisher, 1, 5000, 5)
    const collected: number[] = []
    for (let connection = 0; connection < 50; connection += 1) {
      const watcher = stage.attach(job, collected.at(-1) ?? 0)
      // Cut off at an arbitrary frame, wherever the stream is by then.
      const upTo = Math.min(5000, (connection + 1) * 100 + ((connection * 37) % 61))
      await eventually(() => collected.length + watcher.seqs.length >= upTo, {
        what: `${upTo} updates came`,
        everyMs: 2,
      })
      watcher.detach()
      collected.push(...watcher.seqs)
    }
    await feed
    await stage.finish(job, { updates: 5000 })
    const last = stage.attach(job, collected.at(-1) ?? 0)
    await eventually(() => expect(last.closed).toBe(1000))
    collected.push(...last.seqs)
    expect(collected).toEqual([...seqs(1, 5000), terminalSeq(1)])
    await publisher.stop()
  })

  test('clients of one job share one reader, and the last one takes everything with it', async () => {
    const job = await claimedJob()
    const publisher = await stage.publisherOf(job)
    await publishLines(publisher, 1, 100, 10)
    await eventually(async () => expect(await stage.consumers()).toBe(0))
    const watchers = [0, 0, seqOf(1, 50), seqOf(1, 100)].map((after) => stage.attach(job, after))
    await eventually(() => expect(watchers.map(({ seqs: seen }) => seen.length)).toEqual([100, 100, 50, 0]))
    await eventually(async () => expect(await stage.consumers()).toBe(1))
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
    const job = await claimedJob()
    const publisher = await stage.publisherOf(job)
    const watcher = stage.attach(job, 0)
    await publisher.push([logUpdate('large', 2_000_000)], { stdout: 1, stderr: 0 })
    await publishLines(publisher, 2, 3)
    await eventually(() => expect(watcher.seqs).toEqual(seqs(1, 3)))
    expect(String(watcher.frames.find(({ seq }) => seq === seqOf(1, 1))?.['content'])).toHaveLength(2_000_005)
    watcher.detach()
    await publisher.stop()
  })

  test('history gives pages of what is stored, and errors as problems', async () => {
    const job = await stage.queuedJob()
    expect(await stage.history(job, 0, 10)).toEqual({ updates: [], cursor: 0, done: false })
    await stage.claim(job)
    const publisher = await stage.publisherOf(job)
    await publishLines(publisher, 1, 25, 7)
    const first = await stage.history(job, 0, 10)
    expect(first).toMatchObject({ cursor: seqOf(1, 10), done: false })
    expect(first.updates[9]).toMatchObject({ seq: seqOf(1, 10), attempt: 1 })
    const rest = await stage.history(job, first.cursor, 100)
    expect(rest).toMatchObject({ cursor: seqOf(1, 25), done: false })
    expect(await stage.history(job, rest.cursor, 100)).toEqual({
      updates: [],
      cursor: rest.cursor,
      done: false,
    })
    await stage.finish(job, { updates: 25 })
    expect(await stage.history(job, rest.cursor, 100)).toMatchObject({
      cursor: terminalSeq(1),
      done: true,
    })
    await expect(stage.history('missing', 0, 10)).rejects.toMatchObject({ code: 'not_found' })
    await expect(stage.history(job, seqOf(2, 1), 10)).rejects.toMatchObject({ code: 'bad_request' })
    await publisher.stop()
  })

  test('numbers that are missing in the store are a gap, and so is what never came before N', async () => {
    const job = await claimedJob()
    const first = await stage.publisherOf(job)
    await publishLines(first, 1, 3)
    await first.stop()
    const resume = await stage.resume(job)
    const jumped = await stage.publisherOf(job, 1, { resume: { ...resume, n: 10 } })
    const watcher = stage.attach(job, 0)
    await eventually(() => expect(watcher.seqs).toEqual(seqs(1, 3)))
    await publishLines(jumped, 11, 12)
    await eventually(() => expect(watcher.seqs.at(-1)).toBe(seqOf(1, 12)))
    await stage.finish(job, { updates: 20, held: false })
    await eventually(() => expect(watcher.closed).toBe(1000))
    expect(watcher.frames.filter(({ type }) => type === 'gap')).toEqual([
      { type: 'gap', from: seqOf(1, 4), to: seqOf(1, 10) },
      { type: 'gap', from: seqOf(1, 13), to: seqOf(1, 20) },
    ])
    expect(watcher.seqs).toEqual([
      ...seqs(1, 3),
      seqOf(1, 10),
      seqOf(1, 11),
      seqOf(1, 12),
      seqOf(1, 20),
      terminalSeq(1),
    ])
    await jumped.stop()
  })

  test('what attempt 1 stores after the first message of attempt 2 is never shown, live or in a replay', async () => {
    const job = await claimedJob(2)
    const [lost, next] = [await stage.publisherOf(job), await stage.publisherOf(job, 2)]
    const watcher = stage.attach(job, 0)
    await publishLines(lost, 1, 5)
    await eventually(() => expect(watcher.seqs).toEqual(seqs(1, 5)))
    await stage.giveUp(job)
    await stage.claim(job)
    await publishLines(next, 1, 1)
    await publishLines(lost, 6, 9)
    await publishLines(next, 2, 4)
    await publishLines(lost, 10, 12)
    const wanted = [...seqs(1, 5), ...seqs(1, 4, 2)]
    await eventually(() => expect(watcher.seqs).toEqual(wanted))
    await stage.finish(job, { updates: 4 })
    await eventually(() => expect(watcher.closed).toBe(1000))
    const replay = stage.attach(job, 0)
    await eventually(() => expect(replay.closed).toBe(1000))
    expect(replay.seqs).toEqual([...wanted, terminalSeq(2)])
    expect(watcher.seqs).toEqual(replay.seqs)
    expect((await stage.history(job, 0, 1000)).updates).toHaveLength(10)
    await lost.stop()
    await next.stop()
  })

  test('an attempt that was lost with its agent ends with what is stored', async () => {
    const job = await claimedJob()
    const publisher = await stage.publisherOf(job)
    await publishLines(publisher, 1, 4)
    const watcher = stage.attach(job, 0)
    await eventually(() => expect(watcher.seqs).toEqual(seqs(1, 4)))
    await stage.lose(job)
    await eventually(() => expect(watcher.closed).toBe(1000))
    expect(watcher.seqs).toEqual([...seqs(1, 4), terminalSeq(1)])
    await publisher.stop()
  })

  test('NATS that restarts under a watching client costs it nothing', async () => {
    const job = await claimedJob()
    const publisher = await stage.publisherOf(job)
    const watcher = stage.attach(job, 0)
    await publishLines(publisher, 1, 20)
    await eventually(() => expect(watcher.seqs).toEqual(seqs(1, 20)))
    await stage.nats.kill()
    await stage.nats.start()
    await publishLines(publisher, 21, 40)
    await eventually(() => expect(watcher.seqs).toEqual(seqs(1, 40)))
    expect(watcher.closed).toBeNull()
    watcher.detach()
    await publisher.stop()
  })

  test('NATS that stays away closes with 1013, and the row alone still answers', { timeout: 30_000 }, async () => {
    const [job, ended] = [await claimedJob(), await stage.queuedJob()]
    await stage.cancelQueued(ended)
    const watcher = stage.attach(job, 0)
    const publisher = await stage.publisherOf(job)
    await publishLines(publisher, 1, 1)
    await eventually(() => expect(watcher.seqs).toEqual(seqs(1, 1)))
    await stage.nats.kill()
    const answered = stage.attach(ended, 0)
    await eventually(() => expect(answered.closed).toBe(1000))
    await eventually(() => expect(watcher.closed).toBe(1013), { deadlineMs: 10_000 })
    await stage.nats.start()
    const again = stage.attach(job, 0)
    await eventually(() => expect(again.seqs).toEqual(seqs(1, 1)))
    again.detach()
    await publisher.stop()
  })
}
