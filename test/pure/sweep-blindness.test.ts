// How long nobody may have looked before a sweep judges nobody: an agent that beats must have had time to be heard again.
import { expect, test } from 'vitest'
import type { CoreContext } from '../../control-plane/core/deps.ts'
import { sweep } from '../../control-plane/core/sweep.ts'

async function termOf(leaseMs: number): Promise<number> {
  const terms: number[] = []
  const nothing = { blind: false, unclaimed: [], lapsed: [], reconnecting: [], expired: [], queuedCount: 0 }
  const store = {
    async beginSweep({ termMs }: { termMs: number }) {
      terms.push(termMs)
      return nothing
    },
  }
  await sweep({ store, config: { leaseMs } } as unknown as CoreContext)
  return terms[0] ?? 0
}

/** Of a lease that is renewed each third of it, so much is left in the worst case when the control plane goes. */
const left = (leaseMs: number): number => (leaseMs * 2) / 3

test('a control plane that was away for most of a lease takes none of them away', async () => {
  for (const leaseMs of [6_000, 60_000, 600_000]) expect(await termOf(leaseMs)).toBeLessThanOrEqual(left(leaseMs))
})

test('with the shortest lease two sweeps in a row still see', async () => {
  expect(await termOf(4_000)).toBeGreaterThan(3_000)
})
