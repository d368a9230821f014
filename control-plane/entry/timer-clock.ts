// The port Clock by the timers that every runtime has.
import type { Clock } from '../core/ports.ts'

export function createTimerClock(): Clock {
  return {
    nowMs: () => Date.now(),
    after(ms, callback) {
      const timer = setTimeout(callback, ms)
      return () => clearTimeout(timer)
    },
  }
}
