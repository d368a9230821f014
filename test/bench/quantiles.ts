// Quantiles of a few samples, in milliseconds with two decimals.

export interface Quantiles {
  readonly p50: number
  readonly p99: number
}

export function quantilesOf(samplesMs: readonly number[]): Quantiles {
  const sorted = samplesMs.toSorted((a, b) => a - b)
  // Nearest rank: with 40 samples p99 is the largest, which is what a reader should know.
  const at = (share: number): number =>
    Math.round((sorted[Math.ceil(share * sorted.length) - 1] ?? Number.NaN) * 100) / 100
  return { p50: at(0.5), p99: at(0.99) }
}
