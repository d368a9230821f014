// Many schedules in one process, one after the other: counts what they found, runs one in a hundred twice (it must be the
// same run), and shrinks what failed.
import type { Check, Violation } from './history.ts'
import { makePlan, type Fault, type Plan } from './plan.ts'
import { makeRegionsPlan } from './regions-plan.ts'
import { hooksOf } from './planted.ts'
import { runSchedule, type Verdict } from './schedule.ts'
import type { Sample } from './stopwatch.ts'

export interface BatchOrder {
  readonly first: number
  readonly count: number
  /** Every so many seeds: the other ones are another worker's. */
  readonly step: number
  readonly plant: string | null
  readonly regions: boolean
  readonly stopsAtFirst: boolean
}

export interface Failure {
  readonly seed: number
  readonly violations: readonly Violation[]
  /** What is left of the faults after shrinking. */
  readonly faults: readonly Fault[]
}

export interface BatchResult {
  readonly schedules: number
  readonly faults: number
  readonly jobs: number
  readonly events: number
  readonly counts: Readonly<Record<Check, number>>
  readonly failures: readonly Failure[]
  readonly samples: readonly Sample[]
}

const RERUN_EVERY = 100
/** Shrinking costs up to a run for each fault; so many failures are worth it. */
const SHRUNK_FAILURES = 3

export async function runBatch(order: BatchOrder, onProgress: (done: number) => void): Promise<BatchResult> {
  const counts: Record<Check, number> = { lost: 0, doubled: 0, gaps: 0, stale_accepted: 0, orphans: 0, other: 0 }
  const failures: Failure[] = []
  const samples: Sample[] = []
  const planOf = order.regions ? makeRegionsPlan : makePlan
  const sums = { schedules: 0, faults: 0, jobs: 0, events: 0 }
  for (let index = 0; index < order.count; index += 1) {
    const plan = planOf(order.first + index * order.step)
    const verdict = await runOnce(plan, order.plant)
    let violations = [...verdict.violations]
    // What the schedule shows without the planted bug too is not the planted bug.
    if (order.plant !== null && violations.length > 0 && (await runOnce(plan, null)).violations.length > 0)
      violations = []
    if (plan.seed % RERUN_EVERY === 0) violations.push(...(await differences(plan, order.plant, verdict)))
    sums.schedules += 1
    sums.faults += verdict.faults
    sums.jobs += verdict.jobs
    sums.events += verdict.events
    samples.push(...verdict.samples)
    for (const { check } of violations) counts[check] += 1
    if (violations.length > 0) {
      const isShrunk = order.plant === null && failures.length < SHRUNK_FAILURES
      failures.push({ seed: plan.seed, violations, faults: isShrunk ? await shrink(plan) : plan.faults })
      if (order.stopsAtFirst) break
    }
    if (index % RERUN_EVERY === 0) onProgress(sums.schedules)
  }
  return { ...sums, counts, failures, samples }
}

function runOnce(plan: Plan, plant: string | null): Promise<Verdict> {
  return runSchedule(plan, { hooks: hooksOf(plant) })
}

async function differences(plan: Plan, plant: string | null, first: Verdict): Promise<Violation[]> {
  const second = await runOnce(plan, plant)
  if (second.hash === first.hash) return []
  return [{ check: 'other', what: `ran otherwise the second time: ${first.hash}, ${second.hash}` }]
}

/** Drops one fault after the other for as long as the schedule still fails. */
export async function shrink(plan: Plan): Promise<readonly Fault[]> {
  let left = plan
  for (const fault of plan.faults) {
    const less = { ...left, faults: left.faults.filter((one) => one !== fault) }
    if ((await runOnce(less, null)).violations.length > 0) left = less
  }
  return left.faults
}
