// What a run says at its end: one object of numbers, and the first violations of each kind with the faults around them.

import { checkContainers, longestOutliving } from './check-containers.ts'
import { eventsOf, findingsOf, type Broken, type FaultSpan, type Violation } from './check-input.ts'
import { checkGrowth, growthOf, type Growth } from './check-growth.ts'
import { checkMemory, largestMb } from './check-memory.ts'
import { checkStories, countGaps } from './check-stories.ts'
import { checkTenancy } from './check-tenancy.ts'
import { checkTerminals } from './check-terminals.ts'
import type { ChaosEvent } from './history.ts'
import { ENDS } from './job-book.ts'
import { heardOf, recoveries, type Recovery } from './recovery.ts'

export interface Report {
  readonly minutes: number
  readonly accepted: number
  readonly terminal: number
  readonly lost: number
  readonly doubled: number
  /** Holes and gaps that nothing explains. */
  readonly gaps: number
  readonly stale_accepted: number
  readonly orphan_containers: number
  readonly cross_tenant: number
  readonly faults: Readonly<Record<string, number>>
  readonly recovery_ms: Readonly<Record<string, Recovery>>
  readonly rss_mb_max: Readonly<Record<string, number>>
  /** In a soak only: what each process grew by in a minute. */
  readonly growth_per_minute?: Readonly<Record<string, Growth>>
}

export interface Verdict {
  readonly report: Report
  readonly violations: readonly Violation[]
  readonly remarks: readonly string[]
}

/** `steady`: the run was long and quiet enough that nothing may have grown. */
export function judge(events: readonly ChaosEvent[], minutes: number, { steady = false } = {}): Verdict {
  const checks = [checkTerminals, checkStories, checkContainers, checkTenancy, checkMemory]
  const violations = [...checks, ...(steady ? [checkGrowth] : [])].flatMap((check) => check(events))
  const { plans, finals, faults } = findingsOf(events)
  const count = (broken: Broken): number => violations.filter((violation) => violation.broken === broken).length
  const jobs = [...finals.values()]
  const report: Report = {
    minutes,
    accepted: plans.size,
    terminal: jobs.filter(({ status }) => ENDS.has(status)).length,
    lost: count('lost'),
    doubled: count('doubled'),
    gaps: count('gaps'),
    stale_accepted: count('stale_accepted'),
    orphan_containers: count('orphan_containers'),
    cross_tenant: count('cross_tenant'),
    faults: tally(faults.map(({ kind }) => kind)),
    recovery_ms: recoveries(faults, jobs, heardOf(events)),
    rss_mb_max: largestMb(events),
    ...(steady ? { growth_per_minute: growthOf(events) } : {}),
  }
  return { report, violations, remarks: remarksOf(events) }
}

/** Numbers for people beside the report. */
function remarksOf(events: readonly ChaosEvent[]): string[] {
  const { finals } = findingsOf(events)
  const jobs = [...finals.values()]
  const ends = tally(jobs.map(({ status, error }) => (status === 'error' ? `error ${error}` : status)))
  const exits = tally(eventsOf(events, 'exit').map(({ part, code }) => `${part} ended ${code}`))
  const updates = eventsOf(events, 'story')
    .flatMap(({ runs }) => runs)
    .reduce((sum, run) => sum + (run.kind === 'updates' ? run.to - run.from + 1 : 0), 0)
  return [
    `jobs: ${textOf(ends)}`,
    `attempts: ${textOf(tally(jobs.map(({ attempt }) => `${attempt}`)))}`,
    `updates read by clients: ${updates}; gaps said: ${countGaps(events)}`,
    `longest a container was seen beyond its attempt: ${(longestOutliving(events) / 1_000).toFixed(1)} s`,
    `processes that ended by themselves: ${textOf(exits) || 'none'}`,
    `starts that a killed engine left half done: ${eventsOf(events, 'half_started').length}`,
    `streams closed: ${textOf(tally(eventsOf(events, 'close').map(({ code }) => `${code}`)))}`,
  ]
}

const SHOWN = 5
const AROUND_MS = 15_000

/** The first violations of each kind, each with what was done to the system around that time. */
export function explain(violations: readonly Violation[], faults: readonly FaultSpan[], startMs: number): string[] {
  const kinds = [...new Set(violations.map(({ broken }) => broken))]
  return kinds.flatMap((broken) => {
    const all = violations.filter((violation) => violation.broken === broken)
    return [
      `${broken}: ${all.length}`,
      ...all.slice(0, SHOWN).flatMap((violation) => describe(violation, faults, startMs)),
    ]
  })
}

function describe({ t, job, what }: Violation, faults: readonly FaultSpan[], startMs: number): string[] {
  const at = (ms: number): string => `${((ms - startMs) / 1_000).toFixed(1)} s`
  const around = faults.filter(({ beginMs, endMs }) => beginMs <= t && endMs >= t - AROUND_MS)
  return [
    `  at ${at(t)}${job === undefined ? '' : `, job ${job}`}: ${what}`,
    ...around.map(({ kind, target, beginMs, endMs }) => `    ${kind} of ${target}, ${at(beginMs)} to ${at(endMs)}`),
  ]
}

function tally(names: readonly string[]): Record<string, number> {
  const counts: Record<string, number> = {}
  for (const name of names) counts[name] = (counts[name] ?? 0) + 1
  return counts
}

function textOf(counts: Readonly<Record<string, number>>): string {
  return Object.entries(counts)
    .map(([name, count]) => `${name} ${count}`)
    .join(', ')
}
