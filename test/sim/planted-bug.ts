// What a planted bug is.
import type { Hooks } from './hooks.ts'

export interface Planted {
  readonly name: string
  /** What it breaks. */
  readonly breaks: string
  /** Made anew for each schedule: a bug may remember things. */
  readonly plant: () => Partial<Hooks>
}
