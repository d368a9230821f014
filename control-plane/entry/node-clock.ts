// The port Clock on Node.
import type { Clock } from '../core/ports.ts'

export function createNodeClock(): Clock {
  return {
    nowMs: () => Date.now(),
    after(ms, callback) {
      const timer = setTimeout(callback, ms)
      return () => clearTimeout(timer)
    },
  }
}
