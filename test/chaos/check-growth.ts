// Promise 6 over a long time: once warm, no process holds more from minute to minute. Pure.

import { eventsOf, type EventOf, type Violation } from './check-input.ts'
import type { ChaosEvent } from './history.ts'

/** Per minute, by least squares over all samples after the warm-up. */
export interface Growth {
  readonly mb: number
  readonly fds: number
}

/** Code is compiled, caches and heaps find their size. */
const WARM_UP_MS = 8 * 60_000
const BOUND: Growth = { mb: 1, fds: 1 }
/** The process engines are the stage's own: they keep what they ran, for us to read. */
const NOT_OURS = /-engine$/

export function growthOf(events: readonly ChaosEvent[], warmUpMs = WARM_UP_MS): Record<string, Growth> {
  const samples = eventsOf(events, 'rss')
  const begin = (samples[0]?.t ?? 0) + warmUpMs
  const warm = samples.filter(({ t }) => t >= begin)
  const parts = Object.keys(warm.at(-1)?.mb ?? {})
  return Object.fromEntries(parts.map((part) => [part, { mb: slope(warm, 'mb', part), fds: slope(warm, 'fds', part) }]))
}

export function checkGrowth(events: readonly ChaosEvent[], warmUpMs = WARM_UP_MS): Violation[] {
  const t = events.at(-1)?.t ?? 0
  return Object.entries(growthOf(events, warmUpMs)).flatMap(([part, { mb, fds }]) =>
    NOT_OURS.test(part) || (mb <= BOUND.mb && fds <= BOUND.fds)
      ? []
      : [{ broken: 'memory', t, what: `${part} grew by ${mb} MiB and ${fds} files a minute; allowed is 1 of each` }],
  )
}

function slope(samples: readonly EventOf<'rss'>[], what: 'mb' | 'fds', part: string): number {
  const points = samples.flatMap((sample) => {
    const held = sample[what][part]
    return held === undefined ? [] : [{ minute: sample.t / 60_000, held }]
  })
  const mean = (pick: (point: (typeof points)[number]) => number): number =>
    points.reduce((sum, point) => sum + pick(point), 0) / points.length
  const [minute, held] = [mean((point) => point.minute), mean((point) => point.held)]
  const covariance = mean((point) => (point.minute - minute) * (point.held - held))
  const variance = mean((point) => (point.minute - minute) ** 2)
  return variance > 0 ? Math.round((covariance / variance) * 100) / 100 : 0
}
