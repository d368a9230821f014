// The short form of the simulation: it finds nothing in the real parts, and every planted bug. In a process of its own,
// because it takes over the clock.
import { spawn } from 'node:child_process'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { expect, test } from 'vitest'
import { PLANTED } from './planted.ts'

interface Figures {
  readonly schedules: number
  readonly faults: number
  readonly planted: { readonly of: number; readonly found: number } | null
}

async function simulate(...args: string[]): Promise<{ figures: Figures; told: string }> {
  const child = spawn(process.execPath, [join(import.meta.dirname, 'main.ts'), '--json', ...args], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  const told = await text(child.stdout)
  const figures = JSON.parse(told.trim().split('\n').at(-1) ?? '') as Figures
  return { figures, told }
}

test('3,000 schedules with more than 10 faults each break no promise, and every planted bug is found', async () => {
  const { figures, told } = await simulate('--schedules', '3000', '--planted')
  expect(figures, told).toMatchObject({ lost: 0, doubled: 0, gaps: 0, stale_accepted: 0, orphans: 0, other: 0 })
  expect(figures.schedules).toBeGreaterThanOrEqual(3_000)
  expect(figures.faults).toBeGreaterThan(10 * figures.schedules)
  expect(figures.planted, told).toMatchObject({ of: PLANTED.length, found: PLANTED.length })
})
