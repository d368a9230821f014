// The engine's clock beside ours: one clock unless its time lies outside question and answer.
import { expect, it } from 'vitest'
import { EngineError } from '../../runner-agent/engine/engine-error.ts'
import { engineLeadMs } from '../../runner-agent/engine-clock.ts'

const never = new AbortController().signal
const engine = (aheadMs: number) => ({
  info: () => Promise.resolve({ SystemTime: new Date(Date.now() + aheadMs).toISOString() }),
})

it('engineLeadMs() is exactly 0 for an engine on the same clock, else how far it is ahead', async () => {
  expect(await engineLeadMs(engine(0), never)).toBe(0)
  expect(Math.round((await engineLeadMs(engine(86_400_000), never)) / 1000)).toBe(86_400)
  expect(Math.round((await engineLeadMs(engine(-86_400_000), never)) / 1000)).toBe(-86_400)
})

it('engineLeadMs() is 0 where the engine tells no time, or does not answer', async () => {
  expect(await engineLeadMs({ info: () => Promise.resolve({}) }, never)).toBe(0)
  const away = new EngineError({ kind: 'engine_away', code: 'engine_lost', message: 'away', retryable: true } as never)
  expect(await engineLeadMs({ info: () => Promise.reject(away) }, never)).toBe(0)
})
