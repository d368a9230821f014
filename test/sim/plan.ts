// A schedule as data: machines, jobs, clients and faults, all made from the seed before anything happens. Shrinking it is
// dropping faults from the list.
import { submitBodySchema, type JobSpec } from '../../shared/job-spec.ts'
import type { Script } from './machine.ts'
import { createPrng, type Prng } from './prng.ts'
import type { RegionsPlan } from './regions.ts'

export const FAULTS = {
  'agent-crash': 8,
  'agent-restart': 3,
  'agent-pause': 4,
  'agent-twin': 2,
  'machine-suspend': 3,
  'machine-reboot': 2,
  'machine-burns': 1,
  'machine-clock': 1,
  'cut-agent-plane': 6,
  'cut-agent-nats': 6,
  'cut-plane-nats': 3,
  'cut-client-plane': 3,
  'plane-crash': 6,
  'planes-away': 3,
  'plane-pause': 2,
  'plane-clock': 2,
  'store-away': 3,
  'store-fails-before': 3,
  'store-fails-after': 5,
  'store-slow': 2,
  'nats-away': 4,
  'stream-wipe': 2,
  'stream-rollback': 3,
  'stream-evict': 2,
  'consumers-lost': 3,
  'core-lossy': 4,
  'engine-restart': 3,
  'engine-kill': 2,
  'engine-hang': 2,
  'sockets-lost': 4,
  'slow-starts': 2,
  weather: 5,
} as const

export type FaultKind = keyof typeof FAULTS

/** After these readers may be told of a gap. */
export const LOSSY: readonly FaultKind[] = ['stream-wipe', 'stream-rollback', 'stream-evict']

export interface Fault {
  readonly kind: FaultKind
  readonly atMs: number
  readonly forMs: number
  /** Picks whom it hits, and how. */
  readonly which: number
  readonly how: number
}

export interface JobPlan {
  readonly id: string
  readonly atMs: number
  readonly spec: JobSpec
  readonly client: number
  readonly watchers: readonly { readonly client: number; readonly afterMs: number; readonly leaves: number }[]
  readonly cancels: readonly { readonly afterMs: number; readonly graceSeconds: number }[]
}

export interface Plan {
  readonly seed: number
  readonly agents: number
  readonly clients: number
  readonly jobs: readonly JobPlan[]
  readonly faults: readonly Fault[]
  /** Null: all in one place. */
  readonly regions: RegionsPlan | null
}

export function makePlan(seed: number): Plan {
  const random = createPrng(seed)
  const clients = random.between(2, 3)
  return {
    seed,
    agents: random.between(2, 3),
    clients,
    jobs: makeJobs(random, clients),
    faults: makeFaults(random),
    regions: null,
  }
}

/** A fault is over at the latest at this time. */
const FAULTS_END_MS = 34_000
type Range = readonly [from: number, to: number]
const BRIEF_MS: Range = [100, 4_000]
const LONG_MS: Range = [4_000, 16_000]
const ENDLESS_MS: Range = [24_000, 33_000]

function makeFaults(random: Prng): Fault[] {
  const mayLose = random.chance(0.4)
  const mayBurn = random.chance(0.08)
  const kinds = (Object.keys(FAULTS) as FaultKind[]).filter(
    (kind) => (mayLose || !LOSSY.includes(kind)) && (mayBurn || kind !== 'machine-burns'),
  )
  const weighted = kinds.flatMap((kind) => Array.from({ length: FAULTS[kind] }, () => kind))
  const one = (): Fault => {
    const lasts = random.next()
    const forMs = random.between(...(lasts < 0.68 ? BRIEF_MS : lasts < 0.97 ? LONG_MS : ENDLESS_MS))
    const atMs = random.between(300, forMs < LONG_MS[1] ? 18_000 : 4_000)
    const endMs = Math.min(FAULTS_END_MS, atMs + forMs)
    const kind = lasts < 0.985 ? random.pick(weighted) : 'cut-agent-plane'
    return { kind, atMs, forMs: endMs - atMs, which: random.int(60), how: random.next() }
  }
  return Array.from({ length: random.between(10, 25) }, one).toSorted((a, b) => a.atMs - b.atMs)
}

/** In most schedules no fault lasts as long as a job waits for a lost agent; in some it does. */
const LOST_AFTER_S = { patient: [25, 40], hasty: [6, 12] } as const
export const HASTY_S = 20

function makeJobs(random: Prng, clients: number): JobPlan[] {
  const lostAfter = random.chance(0.3) ? LOST_AFTER_S.hasty : LOST_AFTER_S.patient
  return Array.from({ length: random.between(3, 10) }, (_, index) => makeJob(random, index, clients, lostAfter))
}

function makeJob(random: Prng, index: number, clients: number, lostAfter: readonly number[]): JobPlan {
  const watcher = () => ({
    client: random.int(clients),
    afterMs: random.between(0, 4_000),
    leaves: random.chance(0.5) ? random.between(1, 4) : 0,
  })
  const cancel = () => ({ afterMs: random.between(0, 12_000), graceSeconds: random.between(0, 3) })
  return {
    id: `job${index}`,
    atMs: random.between(0, 9_000),
    spec: { ...makeSpec(random, `job${index}`), lost_after_seconds: random.pick(lostAfter) },
    client: random.int(clients),
    watchers: Array.from({ length: random.between(1, 3) }, watcher),
    cancels: random.chance(0.3) ? Array.from({ length: random.between(1, 2) }, cancel) : [],
  }
}

const TEMPLATE = submitBodySchema.parse({ request: {} })
const RETRYABLE = ['agent_lost', 'engine_lost', 'exit_nonzero'] as const

function makeSpec(random: Prng, id: string): JobSpec {
  const script = makeScript(random)
  const on = RETRYABLE.filter(() => random.chance(0.7))
  return {
    ...TEMPLATE,
    request: { ...TEMPLATE.request, job_id: id },
    env: { SIM: JSON.stringify(script) },
    parse_updates: false,
    resources: { ...TEMPLATE.resources, cpus: 1, memory: 2 ** 28, gpus: random.pick([0, 0, 1, 1, 2]) },
    stop_grace_seconds: random.between(1, 3),
    retries: {
      max_attempts: random.pick([1, 2, 3, 5]),
      on: [...on],
      backoff_seconds: random.pick([0, 1]),
      exclusive: random.chance(0.25),
    },
    ...(random.chance(0.15) ? { timeout_seconds: random.between(2, 8) } : {}),
    ...(random.chance(0.2) ? { queue_ttl_seconds: random.between(5, 25) } : {}),
  }
}

/** What containers run for; a long one fails only where somebody stops it. */
const QUICK_MS: Range = [20, 4_000]
const SLOW_MS: Range = [4_000, 15_000]
const LASTING_MS: Range = [40_000, 70_000]

function makeScript(random: Prng): Script {
  const lines = random.pick([0, 3, 10, 25, 40])
  const lasts = random.next()
  const isLong = lasts > 0.9
  const lengthMs = random.between(...(isLong ? LASTING_MS : lasts < 0.65 ? QUICK_MS : SLOW_MS))
  return {
    lines,
    everyMs: Math.max(1, Math.floor(lengthMs / (lines + 1))),
    restMs: random.between(0, 300),
    exitCode: isLong ? 0 : random.pick([0, 0, 0, 1, 3]),
    oom: random.chance(0.05),
    ignoresTerm: random.chance(0.3),
  }
}
