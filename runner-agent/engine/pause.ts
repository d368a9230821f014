// Waiting between two attempts to reach an engine that is away.

import { backoffMs } from '../../shared/backoff.ts'
import { pause as pauseUntil } from '../../shared/pause.ts'

export const retryDelayMs = (failures: number): number =>
  backoffMs(failures, { firstMs: 50, maxMs: 5000 }, Math.random())

/** Rejects with the signal's reason when it aborts. */
export const pause = async (delayMs: number, signal: AbortSignal): Promise<void> => {
  signal.throwIfAborted()
  await pauseUntil(delayMs, signal)
  signal.throwIfAborted()
}
