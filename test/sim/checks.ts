// Judges a schedule that is over, from its history alone. Each check is one promise of DESIGN 1; what it finds is counted
// under one of the report's headings.
import { checkContainers } from './check-containers.ts'
import { checkJobs } from './check-jobs.ts'
import { checkReadings } from './check-readings.ts'
import type { World } from './world.ts'

export function checkHistory(world: World, healedMs: number): void {
  checkJobs(world, healedMs)
  checkReadings(world)
  checkContainers(world, healedMs)
}
