// Planted bugs: the mistakes that a distributed job runner is made with. Each is switched on by name, sits in a wrapper
// around a port or a part, and must be found by the checkers: a simulation that finds no planted bug proves nothing.
import { plantedInControlPlane } from './planted-control-plane.ts'
import { plantedInAgent } from './planted-agent.ts'
import { plantedInReading } from './planted-reading.ts'
import { plantedInRegions } from './planted-regions.ts'
import { NO_HOOKS, type Hooks } from './hooks.ts'
import type { Planted } from './planted-bug.ts'

export const PLANTED: readonly Planted[] = [...plantedInControlPlane, ...plantedInAgent, ...plantedInReading]

/** Found only where there are replicas of the database. */
export const PLANTED_IN_REGIONS: readonly Planted[] = plantedInRegions

export function hooksOf(name: string | null): Hooks {
  if (name === null) return NO_HOOKS
  const all = [...PLANTED, ...PLANTED_IN_REGIONS]
  const planted = all.find((one) => one.name === name)
  if (!planted)
    throw new Error(`There is no planted bug "${name}". There are: ${all.map((one) => one.name).join(', ')}.`)
  return { ...NO_HOOKS, ...planted.plant() }
}
