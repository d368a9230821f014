// Promise 6, second half: no process grows beyond its bound, whatever is done to it. Pure.

import { eventsOf, type Violation } from './check-input.ts'
import type { ChaosEvent } from './history.ts'

const BOUND_MB = 512

export function checkMemory(events: readonly ChaosEvent[], boundMb = BOUND_MB): Violation[] {
  const worst = new Map<string, Violation & { readonly mb: number }>()
  for (const { t, mb } of eventsOf(events, 'rss'))
    for (const [part, used] of Object.entries(mb)) {
      if (used <= boundMb || used <= (worst.get(part)?.mb ?? 0)) continue
      worst.set(part, { broken: 'memory', t, mb: used, what: `${part} held ${used} MiB; its bound is ${boundMb} MiB` })
    }
  return [...worst.values()]
}

export function largestMb(events: readonly ChaosEvent[]): Record<string, number> {
  const largest: Record<string, number> = {}
  for (const { mb } of eventsOf(events, 'rss'))
    for (const [part, used] of Object.entries(mb)) largest[part] = Math.max(largest[part] ?? 0, used)
  return largest
}
