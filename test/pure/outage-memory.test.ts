// What a process notices of its engine's absence, and what the process after it knows of that.
import { expect, test } from 'vitest'
import { classifyFailure } from '../../runner-agent/engine/classify.ts'
import type { Engine } from '../../runner-agent/engine/engine-client.ts'
import { EngineError } from '../../runner-agent/engine/engine-error.ts'
import { openOutageMemory } from '../../runner-agent/engine/outage-memory.ts'

const { signal } = new AbortController()
const away = (errno: string) =>
  new EngineError(classifyFailure({ action: 'wait for container', subject: 'c1', errno, message: errno }))

/** A memory over an engine whose calls fail with what `failure` holds. */
function memoryOver(failure: { error: EngineError | null }, text?: string) {
  const kept: string[] = []
  const call = async () => {
    if (failure.error) throw failure.error
    return {}
  }
  const memory = openOutageMemory(text, (next) => void kept.push(next))
  const engine = memory.watch({ waitForExit: call, inspectContainer: call, startContainer: call } as unknown as Engine)
  return { memory, engine, kept }
}

test('an outage is from the first call that nobody took to the first that was answered', async () => {
  const failure: { error: EngineError | null } = { error: away('ECONNREFUSED') }
  const { memory, engine, kept } = memoryOver(failure)
  await expect(engine.waitForExit('c1', signal)).rejects.toBe(failure.error)
  await expect(engine.inspectContainer('c1', signal)).rejects.toBe(failure.error)
  expect(memory.list()).toEqual([])
  failure.error = null
  await engine.inspectContainer('c1', signal)
  await engine.waitForExit('c1', signal)
  expect(kept.map((text) => JSON.parse(text) as unknown)).toEqual([
    [{ fromMs: expect.any(Number), toMs: null }],
    [{ fromMs: expect.any(Number), toMs: expect.any(Number) }],
  ])
})

test('the next process knows it, also where it lasted when its process ended', () => {
  const text = JSON.stringify([
    { fromMs: 1, toMs: 2 },
    { fromMs: 3, toMs: null },
  ])
  const before = Date.now()
  const earlier = memoryOver({ error: null }, text).memory.list()
  expect(earlier).toEqual([
    { fromMs: 1, toMs: 2 },
    { fromMs: 3, toMs: expect.any(Number) },
  ])
  expect(earlier[1]?.toMs).toBeGreaterThanOrEqual(before)
})

test('a fault of an engine that is there is no outage, and what nobody can read is none', async () => {
  const failure = { error: away('ETIMEDOUT') }
  const { memory, engine, kept } = memoryOver(failure, 'not json')
  await expect(engine.waitForExit('c1', signal)).rejects.toBe(failure.error)
  expect([kept, memory.list()]).toEqual([[], []])
})
