// The way from a control plane to its database. The database itself is always whole; a call to it may fail before it is
// applied or after (the caller cannot tell which), be slow, or find nobody there.
import type { JobStore } from '../../control-plane/core/ports.ts'
import { AppError } from '../../shared/errors.ts'
import type { Loop, Proc } from './loop.ts'
import type { Prng } from './prng.ts'

export interface StoreTroubles {
  away: boolean
  failBeforeChance: number
  failAfterChance: number
  slowMs: number
}

export const NO_TROUBLES: StoreTroubles = { away: false, failBeforeChance: 0, failAfterChance: 0, slowMs: 0 }

export interface StoreLinkOptions {
  readonly loop: Loop
  readonly random: Prng
  readonly database: Proc
  readonly troubles: StoreTroubles
  /** What distance adds, one way. */
  readonly wayMs?: number
}

type Method = (...args: unknown[]) => Promise<unknown>

/** The port as one process has it. */
export function linkStore(store: JobStore, options: StoreLinkOptions): JobStore {
  const { loop, random, database, troubles, wayMs = 0 } = options
  const latencyMs = (): number =>
    wayMs + 0.1 + random.next() * 0.5 + (troubles.slowMs > 0 ? random.next() * troubles.slowMs : 0)
  const link =
    (method: Method): Method =>
    (...args) => {
      const from = loop.current
      return new Promise((resolve, reject) => {
        const fail = (): void => {
          loop.at(from, latencyMs(), () => reject(new AppError('unavailable', 'The database does not answer.')))
        }
        if (troubles.away || random.chance(troubles.failBeforeChance)) return fail()
        loop.at(database, latencyMs(), () => {
          if (troubles.away) return fail()
          // The simulated store does its work at once, in this turn; only its promise takes a moment.
          method(...args).then(
            (value) => {
              if (random.chance(troubles.failAfterChance)) fail()
              else loop.at(from, latencyMs(), () => resolve(value))
            },
            (error: unknown) => {
              loop.at(from, latencyMs(), () => reject(error))
            },
          )
        })
      })
    }
  const entries = Object.entries(store as unknown as Record<string, Method>)
  return Object.fromEntries(entries.map(([name, method]) => [name, link(method)])) as unknown as JobStore
}
