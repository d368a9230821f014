import { expect, test } from 'vitest'
import { createLineQueue, type OutputLine } from '../../runner-agent/engine/line-queue.ts'

const lineOf = (count: number, sizeBytes = 10): OutputLine => ({
  stream: 'stdout',
  bytes: new Uint8Array(sizeBytes),
  eol: true,
  part: 1,
  continued: false,
  at: 0,
  count,
})

test('createLineQueue() gives lines in order, then the end, however they interleave', async () => {
  const queue = createLineQueue()
  const taken: (number | undefined)[] = []
  const consumer = (async () => {
    for (let line = await queue.next(); line !== undefined; line = await queue.next()) taken.push(line.count)
  })()
  for (let count = 1; count <= 5000; count += 1) {
    queue.push(lineOf(count))
    if (count % 7 === 0) await Promise.resolve()
  }
  queue.finish()
  await consumer
  expect(taken).toEqual(Array.from({ length: 5000 }, (_, index) => index + 1))
  expect(queue.sizeBytes()).toBe(0)
})

test('createLineQueue() hands out what came before a failure, and then the failure', async () => {
  const queue = createLineQueue()
  queue.push(lineOf(1))
  queue.fail(new Error('gone'))
  queue.push(lineOf(2))
  expect((await queue.next())?.count).toBe(1)
  await expect(queue.next()).rejects.toThrow('gone')
  await expect(queue.next()).rejects.toThrow('gone')
})

test('createLineQueue() charges blank lines, and lets a producer wait for room', async () => {
  const queue = createLineQueue()
  for (let count = 1; count <= 100; count += 1) queue.push(lineOf(count, 0))
  expect(queue.sizeBytes()).toBeGreaterThan(100 * 100)
  let hasRoom = false
  const waiting = queue.room(queue.sizeBytes() / 2).then(() => {
    hasRoom = true
  })
  for (let taken = 0; taken < 50; taken += 1) queue.takeNow()
  await Promise.resolve()
  expect(hasRoom).toBe(false)
  queue.takeNow()
  await waiting
  expect(queue.takeNow()?.count).toBe(52)
})

test('createLineQueue() abandons what it holds and lets everybody go', async () => {
  const queue = createLineQueue()
  queue.push(lineOf(1))
  const room = queue.room(0)
  queue.abandon(new Error('closed'))
  await room
  await expect(queue.next()).rejects.toThrow('closed')
  expect(queue.sizeBytes()).toBe(0)
})
