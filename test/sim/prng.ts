// The one source of chance of a schedule: sfc32, seeded by a number. The same seed gives the same numbers everywhere.

export interface Prng {
  /** In [0, 1). */
  next(): number
  /** 0 … count - 1. */
  int(count: number): number
  /** From … to, both included. */
  between(from: number, to: number): number
  chance(probability: number): boolean
  pick<T>(list: readonly T[]): T
}

export function createPrng(seed: number): Prng {
  let [a, b, c, d] = [0x9e3779b9 ^ seed, 0x243f6a88, 0xb7e15162 ^ Math.floor(seed / 2 ** 32), 1]
  const next32 = (): number => {
    const sum = (((a + b) | 0) + d) | 0
    d = (d + 1) | 0
    a = b ^ (b >>> 9)
    b = (c + (c << 3)) | 0
    c = (((c << 21) | (c >>> 11)) + sum) | 0
    return sum >>> 0
  }
  // Neighbouring seeds begin alike: the first numbers are thrown away.
  for (let round = 0; round < 15; round += 1) next32()
  const next = (): number => next32() / 2 ** 32
  const int = (count: number): number => Math.floor(next() * count)
  return {
    next,
    int,
    between: (from, to) => from + int(to - from + 1),
    chance: (probability) => next() < probability,
    pick(list) {
      const one = list[int(list.length)]
      if (one === undefined) throw new Error('Nothing to pick from')
      return one
    },
  }
}
