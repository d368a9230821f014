// Waiting between two attempts to reach an engine that is away.

import { setTimeout as sleep } from 'node:timers/promises'
import { backoffMs } from '../../shared/backoff.ts'

export const retryDelayMs = (failures: number): number =>
  backoffMs(failures, { firstMs: 50, maxMs: 5000 }, Math.random())

/** Rejects with the signal's reason when it aborts. */
export const pause = async (delayMs: number, signal: AbortSignal): Promise<void> => {
  try {
    await sleep(delayMs, undefined, { signal })
  } catch (error) {
    throw signal.aborted ? signal.reason : error
  }
}
