// How long agents could not publish without a break, by what the nemesis did. Pure.

import type { FaultSpan } from './check-input.ts'

/** To be connected again, to have published what waited. */
const RECOVERY_MS = 2_000

/** Of the NATS server, of an agent, or of the way between. */
export function keepsFromPublishing({ kind, target }: FaultSpan): boolean {
  if (kind === 'power_cut' || kind === 'disk_full') return target !== 'database'
  return /^(nats|agent)_/.test(kind) || kind.endsWith('agent_nats')
}

/** Faults that follow each other before the system is well again are one outage. */
export function longestOutage(faults: readonly FaultSpan[]): number {
  let longest = 0
  let beginMs = 0
  let endMs = Number.NEGATIVE_INFINITY
  for (const fault of faults.toSorted((a, b) => a.beginMs - b.beginMs)) {
    if (fault.beginMs > endMs) beginMs = fault.beginMs
    endMs = Math.max(endMs, fault.endMs + RECOVERY_MS)
    longest = Math.max(longest, endMs - beginMs)
  }
  return longest
}
