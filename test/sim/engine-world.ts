// What a simulated engine works with: virtual time, chance, and the machine that it is on.
import type { Loop } from './loop.ts'
import type { Machine } from './machine.ts'
import type { Prng } from './prng.ts'

export interface EngineWorld {
  readonly loop: Loop
  readonly random: Prng
  readonly machine: Machine
}
