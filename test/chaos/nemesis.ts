// Does harm by a seeded plan: when it is time a fault, on something that no other fault holds, each with its own length
// and its own healing. When it is stopped, it waits until everything is healed.

import type { History } from './history.ts'
import type { Seeded } from './seeded.ts'

export interface Fault {
  readonly kind: string
  readonly weight: number
  /** What it can be done to; each has the names of what it takes for itself meanwhile. */
  readonly targets: readonly FaultTarget[]
}

export interface FaultTarget {
  readonly name: string
  readonly takes: readonly string[]
  /** Does it, waits, heals it. */
  readonly act: (random: Seeded) => Promise<void>
}

export interface NemesisOptions {
  readonly faults: readonly Fault[]
  readonly random: Seeded
  readonly history: History
  /** Resolves when the next fault is due, or with `enough`. */
  readonly due: (random: Seeded, enough: AbortSignal) => Promise<void>
  readonly enough: AbortSignal
}

export async function runNemesis({ faults, random, history, due, enough }: NemesisOptions): Promise<void> {
  const taken = new Set<string>()
  const running = new Set<Promise<void>>()
  const harm = async (kind: string, target: FaultTarget): Promise<void> => {
    for (const name of target.takes) taken.add(name)
    history.note({ op: 'fault', kind, target: target.name, phase: 'begin' })
    try {
      await target.act(random.fork(`${kind}-${history.events.length}`))
    } finally {
      history.note({ op: 'fault', kind, target: target.name, phase: 'end' })
      for (const name of target.takes) taken.delete(name)
    }
  }
  const failures: unknown[] = []
  while (!enough.aborted && failures.length === 0) {
    await due(random, enough)
    if (enough.aborted) break
    const chosen = choose(faults, taken, random)
    if (!chosen) continue
    const work = harm(chosen.kind, chosen.target)
      .catch((error: unknown) => void failures.push(error))
      .finally(() => running.delete(work))
    running.add(work)
  }
  await Promise.all(running)
  if (failures.length > 0) throw failures[0]
}

function choose(
  faults: readonly Fault[],
  taken: ReadonlySet<string>,
  random: Seeded,
): { readonly kind: string; readonly target: FaultTarget } | null {
  const weights = Object.fromEntries(faults.map(({ kind, weight }) => [kind, weight]))
  // What is drawn may be held by an earlier fault: then something else is.
  for (let tries = 0; tries < 20; tries += 1) {
    const kind = random.weighted(weights)
    const targets = faults.find((fault) => fault.kind === kind)?.targets ?? []
    if (targets.length === 0) continue
    const target = random.pick(targets)
    if (!target.takes.some((name) => taken.has(name))) return { kind, target }
  }
  return null
}
