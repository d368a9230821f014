// How long after a fault was healed the system worked again: where an agent or its way to the control plane was hit, until
// the control plane heard of that agent; else as clients see it, until a job that was asked for after the healing had come
// to its end. A fault that nothing of the kind follows is left out. Pure.

import { eventsOf, type FaultSpan } from './check-input.ts'
import type { ChaosEvent, FinalJob } from './history.ts'

export interface Recovery {
  readonly p50: number
  readonly p99: number
  readonly max: number
}

/** When each agent was heard of, in order. */
export type HeardOf = ReadonlyMap<string, readonly number[]>

export function heardOf(events: readonly ChaosEvent[]): HeardOf {
  const heard = new Map<string, number[]>()
  for (const { lastSeenMs } of eventsOf(events, 'fleet'))
    for (const [name, at] of Object.entries(lastSeenMs)) {
      const times = heard.get(name)
      if (!times) heard.set(name, [at])
      else if (at > (times.at(-1) ?? 0)) times.push(at)
    }
  return heard
}

export function recoveries(
  faults: readonly FaultSpan[],
  jobs: readonly FinalJob[],
  heard: HeardOf,
): Record<string, Recovery> {
  const ends = jobs
    .flatMap(({ createdAtMs, finishedAtMs }) => (finishedAtMs === null ? [] : [{ createdAtMs, finishedAtMs }]))
    .toSorted((a, b) => a.finishedAtMs - b.finishedAtMs)
  const byKind = new Map<string, number[]>()
  for (const { kind, target, endMs } of faults) {
    const beats = heard.get(target.replace(/\/cp$/, ''))
    const at = beats
      ? beats.find((time) => time >= endMs)
      : ends.find(({ createdAtMs }) => createdAtMs >= endMs)?.finishedAtMs
    if (at !== undefined) byKind.set(kind, [...(byKind.get(kind) ?? []), at - endMs])
  }
  return Object.fromEntries([...byKind].map(([kind, times]) => [kind, quantiles(times)]))
}

function quantiles(times: readonly number[]): Recovery {
  const sorted = times.toSorted((a, b) => a - b)
  const at = (share: number): number => Math.round(sorted[Math.ceil(share * sorted.length) - 1] ?? 0)
  return { p50: at(0.5), p99: at(0.99), max: at(1) }
}
