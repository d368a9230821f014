// A schedule over five regions: the ordinary one, faults and all, with a control plane and a client in each region, more
// agents, spread over them, and a replica of the database beside each control plane, which is behind. One in four is calm:
// no faults, jobs that need not wait for one another, and everybody asks the nearest. Latencies are measured in these.
import { makePlan, type JobPlan, type Plan } from './plan.ts'
import { createPrng, type Prng } from './prng.ts'
import { REGIONS, type RegionsPlan, type ReplicaPlan } from './regions.ts'

const CALM_EVERY = 4
const STANDSTILL_MS = 30_000
const SYNCS_MS = [200, 1_000, 4_000] as const

export function makeRegionsPlan(seed: number): Plan & { readonly regions: RegionsPlan } {
  const random = createPrng(seed + 0x9e0)
  const plan = makePlan(seed)
  const isCalm = seed % CALM_EVERY === 0
  const replica = (): ReplicaPlan => ({
    syncMs: random.pick(SYNCS_MS),
    standsStill: random.chance(0.2) ? { atMs: random.between(0, 10_000), forMs: STANDSTILL_MS } : null,
  })
  const agents = isCalm ? REGIONS.length : random.between(3, REGIONS.length)
  const regions = {
    isCalm,
    agentRegions: shuffled(random).slice(0, agents),
    replicas: REGIONS.map(replica),
  }
  const jobs = plan.jobs.map((job) => spread(random, isCalm ? calmed(job) : job))
  return { ...plan, agents, clients: REGIONS.length, jobs, faults: isCalm ? [] : plan.faults, regions }
}

function shuffled(random: Prng): number[] {
  const left = REGIONS.map((_name, index) => index)
  return REGIONS.map(() => left.splice(random.int(left.length), 1)[0] ?? 0)
}

function spread(random: Prng, job: JobPlan): JobPlan {
  const client = random.int(REGIONS.length)
  const [first, ...others] = job.watchers
  const elsewhere = others.map((watcher) => ({ ...watcher, client: random.int(REGIONS.length) }))
  // Whoever has submitted follows at once.
  return { ...job, client, watchers: first ? [{ ...first, client, afterMs: 0 }, ...elsewhere] : elsewhere }
}

/** One that is run at once and to its end. */
function calmed({ spec, ...job }: JobPlan): JobPlan {
  const { timeout_seconds: _timeout, queue_ttl_seconds: _ttl, ...rest } = spec
  return { ...job, spec: { ...rest, resources: { ...rest.resources, gpus: 0 } }, cancels: [] }
}
