// Waiting between two attempts to reach an engine that is away.

import { setTimeout as sleep } from 'node:timers/promises'

const FIRST_DELAY_MS = 50
const LAST_DELAY_MS = 5000

export const retryDelayMs = (attempt: number): number =>
  Math.min(LAST_DELAY_MS, FIRST_DELAY_MS * 2 ** Math.min(attempt, 10))

/** Rejects with the signal's reason when it aborts. */
export const pause = async (delayMs: number, signal: AbortSignal): Promise<void> => {
  try {
    await sleep(delayMs, undefined, { signal })
  } catch (error) {
    throw signal.aborted ? signal.reason : error
  }
}
