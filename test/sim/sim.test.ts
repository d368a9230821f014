// The short forms of the simulation, in one place and over five regions: they find nothing in the real parts, and every
// planted bug. In processes of their own, because it takes over the clock.
import { spawn } from 'node:child_process'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { expect, test } from 'vitest'
import { PLANTED, PLANTED_IN_REGIONS } from './planted.ts'
import type { RegionLatencies } from './region-report.ts'

interface Figures {
  readonly schedules: number
  readonly faults: number
  readonly planted: { readonly of: number; readonly found: number } | null
  readonly regions?: readonly RegionLatencies[]
}

async function simulate(...args: string[]): Promise<{ figures: Figures; told: string }> {
  const child = spawn(process.execPath, [join(import.meta.dirname, 'main.ts'), '--json', ...args], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  const told = await text(child.stdout)
  const figures = JSON.parse(told.trim().split('\n').at(-1) ?? '') as Figures
  return { figures, told }
}

const NOTHING = { lost: 0, doubled: 0, gaps: 0, stale_accepted: 0, orphans: 0, other: 0 }

test('3,000 schedules with more than 10 faults each break no promise, and every planted bug is found', async () => {
  const { figures, told } = await simulate('--schedules', '3000', '--planted')
  expect(figures, told).toMatchObject(NOTHING)
  expect(figures.schedules).toBeGreaterThanOrEqual(3_000)
  expect(figures.faults).toBeGreaterThan(10 * figures.schedules)
  expect(figures.planted, told).toMatchObject({ of: PLANTED.length, found: PLANTED.length })
})

/** Beside the way to the database: what the way to the control plane and its own work take. */
const NEAR_MS = 20

test('five regions with replicas that lag break no promise, and submit and claim wait for two round trips', async () => {
  const { figures, told } = await simulate('--regions', '--schedules', '160', '--planted')
  expect(figures, told).toMatchObject(NOTHING)
  expect(figures.faults).toBeGreaterThan(10 * figures.schedules)
  expect(figures.planted, told).toMatchObject({ of: PLANTED_IN_REGIONS.length, found: PLANTED_IN_REGIONS.length })
  expect(figures.regions).toHaveLength(5)
  for (const { region, round_trip_ms: trip, submit, claim } of figures.regions ?? [])
    for (const { p99, samples } of [submit, claim]) {
      expect(samples, region).toBeGreaterThan(0)
      expect(p99, region).toBeLessThan(2 * trip + NEAR_MS)
    }
})
