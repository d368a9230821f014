// Runs one schedule: starts everything, lets the plan's faults happen, heals what is left of them, waits until nothing is
// left to do, and has the checkers judge. The verdict says what was broken; the hash says whether it was the same run.
import { cancelJob, submitJob, watchJob } from './client.ts'
import { checkHistory } from './checks.ts'
import { startAgent } from './agent.ts'
import { startControlPlane } from './control-plane.ts'
import { applyFault, isBurnt, superviseAgent } from './faults.ts'
import type { Violation } from './history.ts'
import { NO_HOOKS, type Hooks } from './hooks.ts'
import { createHost, type Proc } from './loop.ts'
import type { JobPlan, Plan } from './plan.ts'
import { createPrng } from './prng.ts'
import type { Sample } from './stopwatch.ts'
import { useSchedule } from './virtual-globals.ts'
import { createWorld, type World } from './world.ts'

export interface Verdict {
  readonly seed: number
  readonly violations: readonly Violation[]
  readonly faults: number
  readonly jobs: number
  readonly hash: number
  readonly events: number
  readonly virtualMs: number
  /** Of a calm schedule over several regions. */
  readonly samples: readonly Sample[]
}

export interface RunOptions {
  readonly hooks?: Hooks
  readonly onTrace?: (line: string) => void
}

/** After the last fault everything must have come to its end within this time. */
const QUIET_WITHIN_MS = 180_000
/** What is quiet for so long stays quiet: each agent has beaten meanwhile. */
const QUIET_FOR_MS = 2_500
/**
 * What nobody disturbed for so long after the last fault, longer than any time-out, grace and lease, goes on to its end:
 * from then on containers need not take the minute that they would take.
 */
const UNDISTURBED_MS = 12_000
const LOOK_EVERY_MS = 250
const SUPERVISE_EVERY_MS = 1_000

/** What Node says about promises that nobody looked at belongs to the schedule that runs. */
let onUnhandled = (_reason: unknown): void => undefined

export function unhandledRejection(reason: unknown): void {
  onUnhandled(reason)
}

export async function runSchedule(plan: Plan, options: RunOptions = {}): Promise<Verdict> {
  const { hooks = NO_HOOKS, onTrace } = options
  const world = createWorld(plan, { hooks, onTrace })
  const { loop, history } = world
  useSchedule({ loop, random: world.random, nameRandom: createPrng(plan.seed) })
  onUnhandled = (reason) => history.violated('other', `nobody handles: ${String(reason)}`)
  begin(world)
  const progress = { isOver: false, submits: 0, readers: 0 }
  for (const job of plan.jobs) planJob(world, job, progress)
  planProbes(world, progress)
  const healedMs = planFaults(world)
  planEnd(world, healedMs, progress)
  await loop.run(() => progress.isOver)
  checkHistory(world, healedMs)
  return {
    seed: plan.seed,
    violations: history.violations,
    faults: plan.faults.length,
    jobs: plan.jobs.length,
    hash: history.hash,
    events: loop.events,
    virtualMs: loop.nowMs,
    samples: world.regions?.samples ?? [],
  }
}

function begin(world: World): void {
  for (let index = 0; index < world.geography.planes; index += 1)
    world.planes.push(startControlPlane(world.planeWorld, createHost(`plane${index}`)))
  for (const agent of world.agents) startAgent(world.agentWorld, agent)
}

interface Progress {
  isOver: boolean
  submits: number
  readers: number
}

function planJob(world: World, job: JobPlan, progress: Progress): void {
  const { loop, clients, clientWorld } = world
  const proc = clients[job.client] as Proc
  progress.submits += 1
  loop.at(proc, job.atMs, () => {
    const beganMs = loop.nowMs
    void submitJob(clientWorld, job.id, job.spec).then(() => {
      progress.submits -= 1
      awaited(progress, world.regions?.submitted(proc, clientWorld, job.id, beganMs))
      for (const { client, afterMs, leaves } of job.watchers) {
        const reader = clients[client] as Proc
        progress.readers += 1
        loop.at(reader, afterMs, () => {
          void watchJob(clientWorld, reader, job.id, leaves).then(() => (progress.readers -= 1))
        })
      }
    })
  })
  for (const { afterMs, graceSeconds } of job.cancels)
    loop.at(proc, job.atMs + afterMs, () => {
      void cancelJob(clientWorld, job.id, graceSeconds).then((isTaken) => {
        if (isTaken) awaited(progress, world.regions?.cancelled(clientWorld, job.id))
      })
    })
}

/** Whoever waits for quiet waits for this, too. */
function awaited(progress: Progress, work: Promise<void> | undefined): void {
  if (!work) return
  progress.readers += 1
  void work.then(() => (progress.readers -= 1))
}

/** Keys come and go in some region. */
function planProbes({ loop, clients, clientWorld, regions }: World, progress: Progress): void {
  if (!regions) return
  for (const [index, proc] of clients.entries())
    loop.at(proc, 1_000 + 4_000 * index, () => awaited(progress, regions.probeKeys(clientWorld)))
}

/** When the last one is over. */
function planFaults(world: World): number {
  const { loop, root, plan } = world
  for (const fault of plan.faults) {
    loop.at(root, fault.atMs, () => {
      const undo = applyFault(world, fault)
      loop.at(root, fault.forMs, undo)
    })
  }
  return Math.max(10_000, ...plan.faults.map(({ atMs, forMs }) => atMs + forMs)) + 1
}

function planEnd(world: World, healedMs: number, progress: Progress): void {
  const { loop, root, history, agents } = world
  const supervise = (): void => {
    for (const agent of agents) superviseAgent(world, agent)
    loop.at(root, SUPERVISE_EVERY_MS, supervise)
  }
  let quietSinceMs: number | null = null
  const look = (): void => {
    const left = whatIsLeft(world, progress)
    quietSinceMs = left === null ? (quietSinceMs ?? loop.nowMs) : null
    progress.isOver = quietSinceMs !== null && loop.nowMs - quietSinceMs >= QUIET_FOR_MS
    if (loop.nowMs > healedMs + QUIET_WITHIN_MS) {
      history.violated('lost', `not quiet: ${left ?? 'something comes again and again'}`)
      progress.isOver = true
    }
    if (!progress.isOver) loop.at(root, LOOK_EVERY_MS, look)
  }
  loop.at(root, healedMs + UNDISTURBED_MS, () => {
    for (const { machine } of agents) machine.hurry()
  })
  loop.at(root, healedMs, () => {
    history.trace('healed-all')
    supervise()
    look()
  })
}

/** One that does not run and that the older of two copies of an agent made stays until the agent's next start. */
function containersOf({ troubles }: World['history'], { id, machine }: World['agents'][number]) {
  const hadTwin = troubles.some(({ agent, what }) => agent === id && what === 'agent-twin')
  return [...machine.containers.values()].filter(({ status }) => !(hadTwin && status !== 'running'))
}

/** Null when everything has come to its end. */
function whatIsLeft({ history, plan, agents }: World, progress: Progress): string | null {
  if (progress.submits > 0) return `${progress.submits} submits without an answer`
  const alive = plan.jobs.filter(({ id }) => history.jobs.get(id)?.state?.phase !== 'finished')
  if (alive.length > 0) return `jobs not ended: ${alive.map(({ id }) => id).join()}`
  const containers = agents.filter((agent) => !isBurnt(agent)).flatMap((agent) => containersOf(history, agent))
  if (containers.length > 0) return `containers left: ${containers.map(({ name }) => name).join()}`
  return progress.readers > 0 ? `${progress.readers} readers without an end` : null
}
