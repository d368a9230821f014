// The engine's wall clock beside ours. What Docker stamps (a container's start and end) is compared with what this process
// noted by its own clock, and the two may differ: an engine in a virtual machine whose clock drifted, or a step of the clock
// in between. Not told apart: a step of a clock that both share, between a container's start and its adoption by a later
// process, counts as time that the container ran.
import { isEngineError } from './engine/engine-error.ts'
import type { Engine } from './engine/engine-client.ts'

/** How far the engine's clock is ahead of ours now, in milliseconds; negative where it is behind. */
export async function engineLeadMs(engine: Pick<Engine, 'info'>, signal: AbortSignal): Promise<number> {
  const askedMs = Date.now()
  const theirsMs = await systemTimeMs(engine, signal)
  const answeredMs = Date.now()
  // On one machine its time always lies between question and answer: then its stamps are ours, to the millisecond.
  if (theirsMs === null || (theirsMs >= askedMs - 1 && theirsMs <= answeredMs + 1)) return 0
  return theirsMs - (askedMs + answeredMs) / 2
}

async function systemTimeMs(engine: Pick<Engine, 'info'>, signal: AbortSignal): Promise<number | null> {
  try {
    const { SystemTime: told } = await engine.info(signal)
    const ms = typeof told === 'string' ? Date.parse(told) : Number.NaN
    return Number.isNaN(ms) ? null : ms
  } catch (error) {
    // Away, or hanging: its clock is most likely ours.
    if (isEngineError(error)) return null
    throw error
  }
}
