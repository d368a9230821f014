// The simulated store keeps what the real one promises: without this the simulation would prove nothing. What the real
// database refuses in SQL is left out; the rest of the contract is the same.
import { beforeEach, describe } from 'vitest'
import { createSimStore } from '../sim/sim-store.ts'
import { openSideDoor } from '../sim/store-side-door.ts'
import { changesContract } from './job-store-changes.contract.ts'
import { plansContract } from './job-store-plans.contract.ts'
import { fleetContract } from './job-store-fleet.contract.ts'
import type { StoreUnderTest } from './job-store.fixtures.ts'
import { jobsContract } from './job-store-jobs.contract.ts'
import { sweepContract } from './job-store-sweep.contract.ts'

let made: StoreUnderTest
beforeEach(() => {
  const { store, tables } = createSimStore({ now: Date.now })
  made = { store, execute: openSideDoor(tables) }
})
const current = (): StoreUnderTest => made

describe('jobs', () => jobsContract(current))
describe('changes', () => changesContract(current))
describe('plans', () => plansContract(current))
describe('fleet and keys', () => fleetContract(current))
describe('sweep', () => sweepContract(current))
