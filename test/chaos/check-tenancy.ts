// Promise 5: no tenant ever read a byte of the other's, and whoever asked for the other's jobs was told that there is no
// such job, whatever state the system was in. Pure.

import { eventsOf, type Violation } from './check-input.ts'
import type { ChaosEvent } from './history.ts'

export function checkTenancy(events: readonly ChaosEvent[]): Violation[] {
  const taints = eventsOf(events, 'taint').map(({ t, tenant, where }): Violation => ({
    broken: 'cross_tenant',
    t,
    what: `tenant ${tenant} read the other tenant's marker in ${where}`,
  }))
  const strangers = eventsOf(events, 'stranger')
    .filter(({ status }) => status !== 404 && !isAway(status))
    .map(({ t, tenant, job, status }): Violation => ({
      broken: 'cross_tenant',
      t,
      job,
      what: `tenant ${tenant} asked for a job of the other and got ${status}, not 404`,
    }))
  return [...taints, ...strangers]
}

/** No answer, or one that says to ask later. */
function isAway(status: number): boolean {
  return status === 0 || status === 429 || status === 503
}
