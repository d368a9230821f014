// Judges a schedule that is over, from its history alone.
import type { World } from './world.ts'

export function checkHistory(world: World, healedMs: number): void {
  void world
  void healedMs
}
