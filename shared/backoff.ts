// Portable: Web APIs only.
//
// Delays of everything that is tried again. Pure: the caller brings the random number and does the waiting.

export interface BackoffOptions {
  readonly firstMs: number
  readonly maxMs: number
  readonly factor?: number
}

/**
 * Full jitter between half and all of `firstMs * factor^tries`, at most `maxMs`.
 * @param tries how many tries have failed before, 0, 1, 2, …
 * @param random a number in [0, 1)
 */
export function backoffMs(tries: number, options: BackoffOptions, random: number): number {
  const grown = options.firstMs * (options.factor ?? 2) ** Math.min(tries, 32)
  const bounded = Math.min(grown, options.maxMs)
  return Math.round(bounded / 2 + (bounded / 2) * random)
}
