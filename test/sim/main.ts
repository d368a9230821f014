// `npm run sim`: runs schedules of faults against the real parts on virtual time, in two threads.
//
//   --schedules N   how many (default 2,000); --seed S the first seed (1)
//   --planted       also looks for every planted bug, in at most 10,000 schedules each
//   --plant NAME    runs with one planted bug
//   --regions       five control planes in five regions, with replicas of the database that lag; prints latencies, too
//   --json          the last line is one JSON object
//
// The known seeds of seeds.ts come first. Exit code 1 where anything was violated, or a planted bug was not found.
import { parseArgs } from 'node:util'
import type { BatchResult, Failure } from './batch.ts'
import { PLANTED, PLANTED_IN_REGIONS } from './planted.ts'
import { latenciesOf, tableOf } from './region-report.ts'
import { REGION_SEEDS, SEEDS } from './seeds.ts'
import { startWorkers, type SimWorkers } from './workers.ts'

const WORKERS = 2
const PLANTED_WITHIN = 10_000

const { values } = parseArgs({
  options: {
    schedules: { type: 'string', default: '2000' },
    seed: { type: 'string', default: '1' },
    plant: { type: 'string' },
    planted: { type: 'boolean', default: false },
    regions: { type: 'boolean', default: false },
    json: { type: 'boolean', default: false },
  },
})
const schedules = Number(values.schedules)
const firstSeed = Number(values.seed)
const plant = values.plant ?? null
const workers = await startWorkers(WORKERS)
try {
  const seeds = values.regions ? REGION_SEEDS : SEEDS
  const known = await Promise.all(seeds.map(({ seed }) => workers.run(orderOf(seed, 1, 1, null))))
  const startedMs = performance.now()
  const parts = await Promise.all(
    Array.from({ length: workers.count }, (_, index) => {
      const count = Math.ceil((schedules - index) / workers.count)
      return workers.run(orderOf(firstSeed + index, count, workers.count, plant))
    }),
  )
  const seconds = (performance.now() - startedMs) / 1000
  const all = [...known, ...parts]
  for (const { failures } of all) for (const failure of failures) tell(failure)
  const planted = values.planted ? await findPlanted(workers) : null
  report(all, planted, schedules / seconds)
  const failed = all.some(({ failures }) => failures.length > 0) || (planted !== null && planted.found < planted.of)
  process.exitCode = failed ? 1 : 0
} finally {
  await workers.close()
}

function orderOf(first: number, count: number, step: number, name: string | null, stopsAtFirst = false) {
  return { first, count, step, plant: name, stopsAtFirst, regions: values.regions }
}

interface PlantedReport {
  readonly of: number
  readonly found: number
  readonly median_schedules: number
}

async function findPlanted(sim: SimWorkers): Promise<PlantedReport> {
  const needed = await Promise.all(
    (values.regions ? PLANTED_IN_REGIONS : PLANTED).map(async ({ name, breaks }) => {
      const { schedules: ran, failures } = await sim.run(orderOf(firstSeed, PLANTED_WITHIN, 1, name, true))
      const [failure] = failures
      const shown = failure ? `found after ${ran}: ${failure.violations[0]?.what ?? ''}` : `NOT found in ${ran}`
      console.log(`planted ${name} (${breaks}): ${shown}`)
      return failure ? ran : Number.POSITIVE_INFINITY
    }),
  )
  const found = needed.filter(Number.isFinite)
  const median = needed.toSorted((a, b) => a - b)[Math.floor((needed.length - 1) / 2)] ?? 0
  return { of: needed.length, found: found.length, median_schedules: median }
}

function tell({ seed, violations, faults }: Failure): void {
  console.log(`seed ${seed}:`)
  for (const { check, what } of violations.slice(0, 5)) console.log(`  ${check}: ${what}`)
  for (const { kind, atMs, forMs, which } of faults) console.log(`    ${kind} ${which} at ${atMs} for ${forMs} ms`)
}

function report(parts: readonly BatchResult[], planted: PlantedReport | null, perSecond: number): void {
  const sum = (pick: (part: BatchResult) => number): number => parts.reduce((total, part) => total + pick(part), 0)
  const figures = {
    schedules: sum((part) => part.schedules),
    faults: sum((part) => part.faults),
    jobs: sum((part) => part.jobs),
    lost: sum(({ counts }) => counts.lost),
    doubled: sum(({ counts }) => counts.doubled),
    gaps: sum(({ counts }) => counts.gaps),
    stale_accepted: sum(({ counts }) => counts.stale_accepted),
    orphans: sum(({ counts }) => counts.orphans),
    other: sum(({ counts }) => counts.other),
    planted,
    schedules_per_s: Math.round(perSecond * 10) / 10,
    ...(values.regions ? { regions: latenciesOf(parts.flatMap(({ samples }) => samples)) } : {}),
  }
  if (values.json) return console.log(JSON.stringify(figures))
  console.log(
    `${figures.lost} lost, ${figures.doubled} doubled, ${figures.gaps} unexplained gaps, ${figures.stale_accepted} stale ` +
      `accepted, ${figures.orphans} orphans, ${figures.other} other of ${figures.jobs} accepted jobs under ` +
      `${figures.faults} injected faults in ${figures.schedules} schedules (${figures.schedules_per_s} a second)` +
      (planted ? `; ${planted.found} of ${planted.of} planted bugs found, median ${planted.median_schedules}` : ''),
  )
  if (figures.regions) console.log(tableOf(figures.regions))
}
