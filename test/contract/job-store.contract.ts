// What every adapter of the port `JobStore` promises. An adapter's test file calls `jobStoreContract` with a way to make
// an empty store; what only one adapter can show (locks, files, servers) stays in that file.
import { afterEach, beforeEach, describe } from 'vitest'
import { changesContract, refusalsContract } from './job-store-changes.contract.ts'
import { fleetContract } from './job-store-fleet.contract.ts'
import { jobsContract } from './job-store-jobs.contract.ts'
import { plansContract } from './job-store-plans.contract.ts'
import { sweepContract } from './job-store-sweep.contract.ts'
import type { StoreUnderTest } from './job-store.fixtures.ts'

export function jobStoreContract(makeStore: () => Promise<StoreUnderTest & { end(): Promise<void> }>): void {
  let made: Awaited<ReturnType<typeof makeStore>>
  beforeEach(async () => {
    made = await makeStore()
  })
  afterEach(() => made.end())
  const current = (): StoreUnderTest => made

  describe('jobs', () => jobsContract(current))
  describe('changes', () => changesContract(current))
  describe('plans', () => plansContract(current))
  describe('the database itself', () => refusalsContract(current))
  describe('fleet and keys', () => fleetContract(current))
  describe('sweep', () => sweepContract(current))
}
