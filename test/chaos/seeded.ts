// A stream of numbers that a seed decides (sfc32), so that the plan of a run can be repeated. What real processes do with
// it is not repeatable; which faults come, when, and on whom, and which jobs are asked for, is.

export interface Seeded {
  /** From 0 up to 1. */
  next(): number
  /** A whole number, both ends included. */
  int(min: number, max: number): number
  between(min: number, max: number): number
  pick<T>(items: readonly [T, ...T[]] | readonly T[]): T
  /** True in `share` of all cases. */
  chance(share: number): boolean
  /** By weight. */
  weighted<T extends string>(weights: Readonly<Record<T, number>>): T
  /** Another stream, of the same seed and this name: what one part draws does not move another part's draws. */
  fork(name: string): Seeded
}

export function seeded(seed: number, name = ''): Seeded {
  const draw = sfc32(hash(`${seed}/${name}`))
  const int = (min: number, max: number): number => min + Math.floor(draw() * (max - min + 1))
  return {
    next: draw,
    int,
    between: (min, max) => min + draw() * (max - min),
    pick<T>(items: readonly T[]): T {
      if (items.length === 0) throw new Error('Cannot pick from nothing')
      return items[int(0, items.length - 1)] as T
    },
    chance: (share) => draw() < share,
    weighted<T extends string>(weights: Readonly<Record<T, number>>): T {
      const entries = Object.entries(weights) as [T, number][]
      let rest = draw() * entries.reduce((sum, [, weight]) => sum + weight, 0)
      for (const [key, weight] of entries) if ((rest -= weight) < 0) return key
      return (entries.at(-1) as [T, number])[0]
    },
    fork: (part) => seeded(seed, `${name}/${part}`),
  }
}

function hash(text: string): number {
  let value = 0x811c9dc5
  for (const letter of text) value = Math.imul(value ^ (letter.codePointAt(0) ?? 0), 0x01000193)
  return value >>> 0
}

function sfc32(seed: number): () => number {
  let [a, b, c, d] = [0x9e3779b9, 0x243f6a88, 0xb7e15162, seed | 0]
  const step = (): number => {
    const t = (((a + b) | 0) + d) | 0
    d = (d + 1) | 0
    a = b ^ (b >>> 9)
    b = (c + (c << 3)) | 0
    c = (((c << 21) | (c >>> 11)) + t) | 0
    return (t >>> 0) / 2 ** 32
  }
  // The first numbers still show the constants.
  for (let round = 0; round < 12; round += 1) step()
  return step
}
