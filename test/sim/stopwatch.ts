// How long things take in a calm schedule over several regions, each by the region of whoever waits for it.

export const MEASURED = ['submit', 'claim', 'first_update', 'listed'] as const
export type Measured = (typeof MEASURED)[number]

export interface Sample {
  readonly what: Measured
  readonly region: number
  readonly ms: number
}

export interface Spread {
  readonly samples: number
  readonly p50: number
  readonly p99: number
}

export function spreadOf(samples: readonly Sample[], what: Measured, region: number): Spread {
  const sorted = samples
    .filter((sample) => sample.what === what && sample.region === region)
    .map(({ ms }) => ms)
    .toSorted((a, b) => a - b)
  const at = (share: number): number => Math.round(sorted[Math.ceil(share * sorted.length) - 1] ?? Number.NaN)
  return { samples: sorted.length, p50: at(0.5), p99: at(0.99) }
}
