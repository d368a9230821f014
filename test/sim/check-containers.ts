// Containers, by the word of the machines: each attempt is started at most once; a GPU serves one container at a time; a
// later attempt starts only when its first update is stored; and none outlives its job, nor the last answer to a beat of its
// agent, for longer than promised.
import type { ContainerStory, History, JobStory } from './history.ts'
import type { World } from './world.ts'

export function checkContainers(world: World, healedMs: number): void {
  const { history, plan } = world
  const started = history.containers.filter(({ startedMs }) => startedMs !== null)
  checkOnce(history, started)
  checkGpus(history, started)
  const lostAfterMs = new Map(plan.jobs.map(({ id, spec }) => [id, spec.lost_after_seconds * 1000]))
  for (const container of started) {
    checkFenced(history, container)
    const allowedMs = (lostAfterMs.get(container.job) ?? 0) + STOP_MS + (container.ignoresTerm ? GRACE_MS : 0)
    checkLife(history, container, allowedMs, healedMs)
    checkRenewed(history, container, allowedMs)
  }
}

function nameOf({ job, attempt, host }: ContainerStory): string {
  return `${job}, attempt ${attempt} on ${host}`
}

function checkOnce(history: History, started: readonly ContainerStory[]): void {
  const byAttempt = Map.groupBy(started, ({ job, attempt }) => `${job} ${attempt}`)
  for (const [name, containers] of byAttempt)
    if (containers.length > 1) history.violated('doubled', `attempt ${name} was started ${containers.length} times`)
}

function checkGpus(history: History, started: readonly ContainerStory[]): void {
  for (const [index, one] of started.entries()) {
    for (const other of started.slice(index + 1)) {
      const shares = one.host === other.host && one.gpus.some((gpu) => other.gpus.includes(gpu))
      // Two processes of one agent on a machine, after somebody copied its state: neither knows what the other starts.
      if (
        shares &&
        !hasTwin(history, one) &&
        (one.startedMs ?? 0) < endOf(other) &&
        (other.startedMs ?? 0) < endOf(one)
      )
        history.violated('doubled', `${nameOf(one)} and ${nameOf(other)} use one GPU at the same time`)
    }
  }
}

/** Its agent ran twice: neither process knows what the other one starts, until it looks again. */
export function hasTwin({ troubles }: History, { agent }: ContainerStory): boolean {
  return troubles.some((one) => one.agent === agent && one.what === 'agent-twin')
}

function endOf({ endedMs }: ContainerStory): number {
  return endedMs ?? Number.POSITIVE_INFINITY
}

function checkFenced(history: History, container: ContainerStory): void {
  if (container.attempt === 1) return
  const isFenced = history
    .storedOf(container.job)
    .some(({ attempt, place }) => attempt === container.attempt && place < container.startedPlace)
  if (!isFenced) history.violated('stale_accepted', `${nameOf(container)} started before its first update was stored`)
}

/** What a busy machine takes for a stop. Its agent was last heard before its job was over, and counts from then. */
const STOP_MS = 2_000
const GRACE_MS = 10_000
const LOOK_AGAIN_MS = 35_000
/** Nobody is there, or can act, to stop a container then. */
const HELPLESS = /^(agent-|machine-|engine-)/

/** From when its attempt ceased to count, or from when somebody could act again, it may live for so long. */
function checkLife(history: History, container: ContainerStory, allowedMs: number, healedMs: number): void {
  const ended = container.endedMs ?? Number.POSITIVE_INFINITY
  const overMs = overAt(history.jobs.get(container.job), container)
  if (overMs === null || ended <= overMs + allowedMs) return
  const helpless = history.troubles.filter(({ agent, what }) => agent === container.agent && HELPLESS.test(what))
  const actableMs = Math.max(
    overMs,
    ...helpless.filter(({ fromMs }) => fromMs <= ended).map(({ toMs }) => toMs ?? healedMs),
  )
  // Of two copies the newer one finds what the older one started when it looks again.
  if (ended > actableMs + allowedMs + (hasTwin(history, container) ? LOOK_AGAIN_MS : 0))
    history.violated('orphans', `${nameOf(container)} lived ${Math.round(ended - overMs)} ms longer than its job`)
}

/** Cut off or not: without an answered beat that lists it, a container is stopped. */
function checkRenewed(history: History, container: ContainerStory, allowedMs: number): void {
  const { agent, job, attempt, startedMs } = container
  const mine = history.told.filter((one) => one.agent === agent && one.job === job && one.attempt === attempt)
  const fromStartMs = startedMs ?? 0
  const renewedMs = [fromStartMs, ...mine.map(({ ms }) => ms).filter((ms) => ms > fromStartMs)]
  for (const [index, fromMs] of renewedMs.entries()) {
    const untilMs = Math.min(endOf(container), renewedMs[index + 1] ?? history.nowMs())
    if (untilMs <= fromMs + allowedMs || hasTwin(history, container)) continue
    const isHelpless = history.troubles.some(
      (one) =>
        one.agent === agent &&
        HELPLESS.test(one.what) &&
        one.fromMs <= untilMs &&
        (one.toMs ?? Number.POSITIVE_INFINITY) >= fromMs,
    )
    if (!isHelpless)
      history.violated('orphans', `${nameOf(container)} ran on, not renewed from ${fromMs} to ${untilMs} ms`)
  }
}

function overAt(story: JobStory | undefined, { attempt }: ContainerStory): number | null {
  const step = story?.steps.find(
    ({ before, after }) =>
      before.assignment?.attempt === attempt && before.assignment.session !== null && after.assignment === null,
  )
  return step?.ms ?? null
}
