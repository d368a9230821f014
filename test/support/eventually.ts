// Waits for something to become true, instead of sleeping and hoping.
//
// `eventually` calls the check until it returns without throwing, or until the deadline; then it fails with the check's
// own last error, so that the message says what was missing and not just that time ran out.

import { setTimeout as sleep } from 'node:timers/promises'

export interface EventuallyOptions {
  deadlineMs?: number
  everyMs?: number
  /** What is waited for, in words: "the job is completed". */
  what?: string
}

/** Resolves with the first value that `check` returns without throwing; `false` means "not yet". */
export async function eventually<T>(check: () => T | Promise<T>, options: EventuallyOptions = {}): Promise<T> {
  const { deadlineMs = 5_000, everyMs = 20, what = 'the check passes' } = options
  const end = performance.now() + deadlineMs
  let last: unknown
  do {
    try {
      const value = await check()
      // A check with nothing to return says "yes" by not throwing; only an explicit false asks for more time.
      if (value !== false) return value
      last = new Error('it is still false')
    } catch (error) {
      last = error
    }
    await sleep(everyMs)
  } while (performance.now() < end)
  const reason = last instanceof Error ? last.message : String(last)
  throw new Error(`Waited ${deadlineMs} ms until ${what}: ${reason}`, { cause: last })
}
