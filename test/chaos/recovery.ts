// How long after a fault was healed the system worked again, where the fault was: an agent claims a new attempt, a client's
// new job comes to its end. A fault that was followed by nothing of the kind is left out. Pure.

import type { FaultSpan } from './check-input.ts'
import type { FinalJob } from './history.ts'

export interface Recovery {
  readonly p50: number
  readonly p99: number
  readonly max: number
}

export function recoveries(
  faults: readonly FaultSpan[],
  jobs: readonly FinalJob[],
  agents: ReadonlyMap<string, string>,
): Record<string, Recovery> {
  const claims = jobs.flatMap(({ attempts }) => attempts).toSorted((a, b) => a.claimedAtMs - b.claimedAtMs)
  const ends = jobs
    .flatMap(({ createdAtMs, finishedAtMs }) => (finishedAtMs === null ? [] : [{ createdAtMs, finishedAtMs }]))
    .toSorted((a, b) => a.finishedAtMs - b.finishedAtMs)
  const byKind = new Map<string, number[]>()
  for (const { kind, target, endMs } of faults) {
    const agent = agents.get(target.replace(/(-engine|\/cp|\/nats)$/, ''))
    const at =
      agent === undefined
        ? ends.find(({ createdAtMs }) => createdAtMs >= endMs)?.finishedAtMs
        : claims.find((row) => row.agent === agent && row.claimedAtMs >= endMs)?.claimedAtMs
    if (at === undefined) continue
    byKind.set(kind, [...(byKind.get(kind) ?? []), at - endMs])
  }
  return Object.fromEntries([...byKind].map(([kind, times]) => [kind, quantiles(times)]))
}

function quantiles(times: readonly number[]): Recovery {
  const sorted = times.toSorted((a, b) => a - b)
  const at = (share: number): number => Math.round(sorted[Math.ceil(share * sorted.length) - 1] ?? 0)
  return { p50: at(0.5), p99: at(0.99), max: at(1) }
}
