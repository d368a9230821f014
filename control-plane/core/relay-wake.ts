// Portable: Web APIs only.
//
// Waiting for "something happened". A fire that comes while nobody waits is remembered, so that looking first and
// waiting then misses nothing; several count as one.
import type { Clock } from './ports.ts'

export interface Wake {
  /** May be handed on as a callback. */
  readonly fire: () => void
  /** Until a fire, or until the signal aborts. One waiter at a time. */
  wait(signal: AbortSignal): Promise<void>
}

export function createWake(): Wake {
  let fired = false
  let waiter: (() => void) | null = null
  return {
    fire() {
      fired = true
      waiter?.()
    },
    wait(signal) {
      return new Promise((resolve) => {
        const done = (): void => {
          fired = false
          waiter = null
          signal.removeEventListener('abort', done)
          resolve()
        }
        if (fired || signal.aborted) return done()
        waiter = done
        signal.addEventListener('abort', done, { once: true })
      })
    },
  }
}

/** Resolves after `ms`, or as soon as the signal aborts. */
export function sleep(clock: Clock, ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) return resolve()
    const done = (): void => {
      cancel()
      signal.removeEventListener('abort', done)
      resolve()
    }
    const cancel = clock.after(ms, done)
    signal.addEventListener('abort', done, { once: true })
  })
}
