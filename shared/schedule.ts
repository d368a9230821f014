// Portable: Web APIs only.
//
// Which waiting job goes to which agent now: `plan(view, policy)`, pure. Late binding: a job is assigned only to capacity
// that is free at this moment, so no backlog sits at an agent. Order: priority, then age; a job that does not fit lets
// smaller ones pass. For each job that stays it says what every agent lacks, and whether any agent could ever run it.
import type { Capacity, HeldAttempt } from './agent-protocol.ts'
import { effectiveLimits, type EffectiveLimits, type JobSpec } from './job-spec.ts'
import type { JobState } from './job.ts'
import { formatSize } from './sizes.ts'

export interface PlanJob {
  readonly state: JobState
  readonly spec: JobSpec
  readonly createdAtMs: number
}

export interface PlanAgent {
  readonly id: string
  readonly pool: string
  readonly labels: Readonly<Record<string, string>>
  readonly capacity: Capacity
  readonly cordoned: boolean
  readonly draining: boolean
  readonly leaseExpired: boolean
  readonly held: readonly HeldAttempt[]
}

export interface PlanView {
  readonly queued: readonly PlanJob[]
  readonly agents: readonly PlanAgent[]
  readonly placed: readonly PlanJob[]
}

export interface PlanPolicy {
  /** CPU time can be shared, memory and GPUs cannot: jobs may reserve this many times the cores of a machine. */
  readonly cpuOvercommit: number
}

export interface PlannedAssignment {
  readonly job: PlanJob
  readonly agent: string
  readonly gpus: readonly string[]
}

export interface WaitingJob {
  readonly job: PlanJob
  readonly why: string
  readonly agents: readonly { readonly agent: string; readonly lacks: readonly string[] }[]
  /** No agent of its pool could ever run it, however free. False while its pool is empty. */
  readonly unsatisfiable: boolean
}

export interface Plan {
  readonly assignments: readonly PlannedAssignment[]
  readonly waiting: readonly WaitingJob[]
}

interface Free {
  readonly agent: PlanAgent
  memory: number
  cpus: number
  gpus: string[]
}

const PRIORITY = { high: 0, normal: 1, low: 2 } as const

/** Priority, then age, then id: the order in which a pool's jobs are looked at. */
export function compareQueued(a: PlanJob, b: PlanJob): number {
  return (
    PRIORITY[a.spec.priority] - PRIORITY[b.spec.priority] ||
    a.createdAtMs - b.createdAtMs ||
    (a.state.id < b.state.id ? -1 : a.state.id > b.state.id ? 1 : 0)
  )
}

export function plan(view: PlanView, policy: PlanPolicy): Plan {
  const free = view.agents.map((agent) => freeOf(agent, view.placed, policy))
  const assignments: PlannedAssignment[] = []
  const waiting: WaitingJob[] = []
  for (const job of view.queued.toSorted(compareQueued)) {
    const best = free.filter((place) => lacks(job, place).length === 0).toSorted((a, b) => compareFit(job, a, b))[0]
    if (best) assignments.push(take(job, best))
    else waiting.push(explain(job, free, policy))
  }
  return { assignments, waiting }
}

/** Where a GPU is leased by: its UUID where the machine tells one, else the operator's id. */
export function gpuIds(capacity: Capacity): string[] {
  return capacity.gpus.map((gpu) => gpu.uuid ?? gpu.id)
}

function freeOf(agent: PlanAgent, placed: readonly PlanJob[], policy: PlanPolicy): Free {
  const here = placed.filter(({ state }) => state.assignment?.agent === agent.id)
  const limits = here.map(({ spec }) => effectiveLimits(spec, agent.capacity.defaults))
  const leased = new Set(here.flatMap(({ state }) => state.assignment?.gpus ?? []))
  const known = new Set(here.map(({ state }) => attemptKey(state.tenant, state.id, state.assignment?.attempt ?? 0)))
  // A container that no row knows (fenced, about to be stopped) may still use any of the GPUs: hand none out till it is gone.
  const strangers = agent.held.some(
    (held) => held.phase !== 'finished' && !known.has(attemptKey(held.tenant, held.job, held.attempt)),
  )
  return {
    agent,
    memory: agent.capacity.memory - sum(limits.map((limit) => limit.memory)),
    cpus: agent.capacity.cpus * policy.cpuOvercommit - sum(limits.map((limit) => limit.cpus)),
    gpus: strangers ? [] : gpuIds(agent.capacity).filter((id) => !leased.has(id)),
  }
}

function attemptKey(tenant: string, job: string, attempt: number): string {
  return `${tenant}/${job}/${attempt}`
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0)
}

/** What keeps `job` off this agent now; empty when it fits. */
function lacks(job: PlanJob, free: Free): string[] {
  const missing = mismatch(job, free.agent)
  if (free.agent.leaseExpired) missing.push('the agent is silent')
  if (free.agent.cordoned) missing.push('the agent is cordoned')
  if (free.agent.draining) missing.push('the agent is draining')
  const limits = effectiveLimits(job.spec, free.agent.capacity.defaults)
  if (limits.memory > free.memory)
    missing.push(`memory: needs ${formatSize(limits.memory)}, ${formatSize(Math.max(0, free.memory))} is free`)
  if (limits.cpus > free.cpus + 1e-9) missing.push(`cpus: needs ${limits.cpus}, ${round(free.cpus)} is free`)
  if (limits.gpus > free.gpus.length) missing.push(`gpus: needs ${limits.gpus}, ${free.gpus.length} is free`)
  return missing
}

/** What keeps the job off this agent for ever: pool and labels. */
function mismatch(job: PlanJob, agent: PlanAgent): string[] {
  const missing: string[] = []
  if (agent.pool !== job.spec.pool) missing.push(`pool: needs "${job.spec.pool}", is "${agent.pool}"`)
  for (const [key, value] of Object.entries(job.spec.agent_labels)) {
    if (agent.labels[key] !== value)
      missing.push(
        `label ${key}: needs "${value}", is ${agent.labels[key] === undefined ? 'not set' : `"${agent.labels[key]}"`}`,
      )
  }
  return missing
}

function couldEver(job: PlanJob, agent: PlanAgent, policy: PlanPolicy): boolean {
  const limits: EffectiveLimits = effectiveLimits(job.spec, agent.capacity.defaults)
  return (
    mismatch(job, agent).length === 0 &&
    limits.memory <= agent.capacity.memory &&
    limits.cpus <= agent.capacity.cpus * policy.cpuOvercommit &&
    limits.gpus <= agent.capacity.gpus.length
  )
}

/** Bin-pack: an agent that has the image first, then the one that is left with the least. */
function compareFit(job: PlanJob, a: Free, b: Free): number {
  return (
    Number(hasImage(job, b)) - Number(hasImage(job, a)) ||
    a.gpus.length - b.gpus.length ||
    a.memory - b.memory ||
    (a.agent.id < b.agent.id ? -1 : 1)
  )
}

function hasImage(job: PlanJob, free: Free): boolean {
  return job.spec.image !== undefined && (free.agent.capacity.images ?? []).includes(job.spec.image)
}

function take(job: PlanJob, free: Free): PlannedAssignment {
  const limits = effectiveLimits(job.spec, free.agent.capacity.defaults)
  free.memory -= limits.memory
  free.cpus -= limits.cpus
  return { job, agent: free.agent.id, gpus: free.gpus.splice(0, limits.gpus) }
}

function explain(job: PlanJob, free: readonly Free[], policy: PlanPolicy): WaitingJob {
  const pool = free.filter(({ agent }) => agent.pool === job.spec.pool)
  const agents = pool.map((place) => ({ agent: place.agent.id, lacks: lacks(job, place) }))
  const unsatisfiable = pool.length > 0 && !pool.some(({ agent }) => couldEver(job, agent, policy))
  return { job, why: whyWaits(job, pool.length, unsatisfiable, policy, pool), agents, unsatisfiable }
}

function whyWaits(
  job: PlanJob,
  agents: number,
  unsatisfiable: boolean,
  policy: PlanPolicy,
  pool: readonly Free[],
): string {
  if (agents === 0) return `no agent has joined pool "${job.spec.pool}"`
  if (!unsatisfiable) return `no agent of pool "${job.spec.pool}" has room for it now`
  const first = pool[0]
  const limits = first ? effectiveLimits(job.spec, first.agent.capacity.defaults) : null
  const most = (pick: (agent: PlanAgent) => number): number => Math.max(...pool.map(({ agent }) => pick(agent)))
  const wants = limits
    ? `needs ${formatSize(limits.memory)} of memory, ${limits.cpus} CPUs and ${limits.gpus} GPUs`
    : 'needs more than there is'
  return (
    `no agent of pool "${job.spec.pool}" could ever run it: it ${wants}` +
    `${Object.keys(job.spec.agent_labels).length > 0 ? ' and its agent_labels' : ''}; the largest has ${formatSize(most((agent) => agent.capacity.memory))}, ` +
    `${most((agent) => agent.capacity.cpus * policy.cpuOvercommit)} and ${most((agent) => agent.capacity.gpus.length)}`
  )
}

function round(value: number): number {
  return Math.round(value * 100) / 100
}
