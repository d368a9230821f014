// Each accepted job has exactly one end, which never changes; an attempt that does not count changes nothing; a cancel that
// was taken is never followed by another attempt; max_attempts holds; no lease runs out for a reason that is not its
// agent's; and a job whose agent died is in the queue again within ten seconds.
import { willRetry } from '../../shared/job-machine.ts'
import { isTerminal } from '../../shared/job.ts'
import type { ContainerStory, History, JobStory, Step } from './history.ts'
import { hasTwin } from './check-containers.ts'
import type { FaultKind } from './plan.ts'
import type { World } from './world.ts'

export function checkJobs(world: World, healedMs: number): void {
  const { history, plan } = world
  for (const { id, spec } of plan.jobs) {
    const story = history.jobs.get(id)
    if (!story?.accepted) continue
    checkEnd(history, story)
    for (const step of story.steps) {
      const stale = staleness(step)
      if (stale) history.violated('stale_accepted', `${id}: ${stale}`)
      checkLease(world, id, step)
    }
    checkCancel(history, story)
    checkFinishes(history, story)
    checkCancelled(world, story, healedMs)
    const attempts = new Set(story.steps.filter(({ event }) => event === 'claimed').map(({ after }) => after.attempt))
    if (attempts.size > spec.retries.max_attempts)
      history.violated('doubled', `${id}: ${attempts.size} attempts, at most ${spec.retries.max_attempts} are allowed`)
  }
  checkGpuLeases(history)
  checkRequeue(world, healedMs)
}

/** What was acknowledged is in the database, and it came from a process that said it. */
function checkFinishes({ finishes, violated }: History, { id, steps }: JobStory): void {
  const calls = finishes.filter(({ job }) => job === id)
  const ends = steps.flatMap(({ cause }) => (cause.type === 'finished' ? [cause] : []))
  for (const { attempt, session, acked } of calls)
    if (acked && !ends.some((end) => end.attempt === attempt))
      violated('lost', `${id}: the end of attempt ${attempt} was acknowledged to ${session} and is nowhere`)
  for (const { attempt, session } of ends)
    if (!calls.some((call) => call.attempt === attempt && call.session === session))
      violated(
        'stale_accepted',
        `${id}: attempt ${attempt} was finished in the name of ${session}, which never said so`,
      )
}

function checkEnd(history: History, { id, steps }: JobStory): void {
  const ends = steps.filter(({ status }) => isTerminal(status))
  // None at all is said by whoever waited for quiet.
  if (ends.length > 1) history.violated('doubled', `${id}: ${ends.length} terminal states`)
  const [end] = ends
  if (end && steps.at(-1) !== end) history.violated('doubled', `${id}: changed after its end`)
}

/** A step that somebody made who had no say. */
function staleness({ cause, before }: Step): string | null {
  const { assignment } = before
  if (cause.type === 'claimed' && (cause.attempt !== assignment?.attempt || cause.agent !== assignment.agent))
    return `attempt ${cause.attempt} of ${cause.agent} was claimed, ${assignment?.attempt ?? 'none'} counts`
  if (cause.type !== 'finished') return null
  const counts =
    assignment?.attempt === cause.attempt && assignment.agent === cause.agent && assignment.session === cause.session
  return counts ? null : `attempt ${cause.attempt} finished by ${cause.session}, which does not hold it`
}

function checkCancel(history: History, { id, steps }: JobStory): void {
  const at = steps.findIndex(({ event }) => event === 'cancel_requested')
  if (at < 0) return
  if (steps.slice(at + 1).some(({ event }) => event === 'assigned'))
    history.violated('other', `${id}: assigned after it was cancelled`)
}

/** From when everything is well again, until the container of a cancelled job is gone, beside its grace. */
const CANCEL_MS = 8_000

/** A cancel that was taken reaches the container, whatever answer was lost. */
function checkCancelled({ history }: World, { id, steps }: JobStory, healedMs: number): void {
  const cancel = steps.find(({ event }) => event === 'cancel_requested')
  if (cancel?.cause.type !== 'cancel_requested') return
  const attempt = cancel.after.assignment?.attempt
  const untilMs = Math.max(cancel.ms, healedMs) + cancel.cause.graceSeconds * 1000 + CANCEL_MS
  for (const container of history.containers)
    if (
      container.job === id &&
      container.attempt === attempt &&
      livedBeyond(container, untilMs) &&
      !hasTwin(history, container)
    )
      history.violated('orphans', `${id}: its container lived ${untilMs} ms and longer, though it was cancelled`)
}

function livedBeyond({ startedMs, endedMs }: ContainerStory, ms: number): boolean {
  return startedMs !== null && (endedMs ?? Number.POSITIVE_INFINITY) > ms
}

/** How long before a lapse the agent's trouble may have ended: a lease, and the longest pause between two tries. */
const LEASE_MEMORY_MS = 6_000 + 6_000
/** A database that fails half of the beats, or takes longer for them than a lease, lets leases run out. */
const LEASE_TAKERS: readonly FaultKind[] = ['store-slow', 'store-fails-before', 'store-fails-after']

/** Promise 4: an agent that beats and is heard never loses its lease, whatever the control plane goes through. */
function checkLease({ plan, history }: World, job: string, { event, ms, reason, before }: Step): void {
  if (event !== 'lapsed' || !reason?.startsWith('the lease')) return
  const agent = before.assignment?.agent
  const isNear = (fromMs: number, toMs: number): boolean => fromMs <= ms && toMs >= ms - LEASE_MEMORY_MS
  const near = plan.faults.filter(({ atMs, forMs }) => isNear(atMs, atMs + forMs))
  if (near.some(({ kind }) => LEASE_TAKERS.includes(kind))) return
  // One after the other they take as much time as one that is noticed, and none of them is.
  if (near.filter(({ kind }) => /^(plane|store-away)/.test(kind)).length > 1) return
  // What an agent's own silence had brought about is judged when somebody can judge again.
  const isExcused = history.troubles.some(
    (one) => one.agent === agent && isNear(one.fromMs, (one.toMs ?? ms) + deafMs(plan, one.toMs ?? ms, ms)),
  )
  if (!isExcused) history.violated('other', `${job}: the lease of ${agent} ran out though nothing was wrong with it`)
}

/** How much of that time nobody could hear any agent, nor judge one. */
function deafMs({ faults }: World['plan'], fromMs: number, toMs: number): number {
  let [deaf, heardUntilMs] = [0, fromMs]
  for (const { kind, atMs, forMs } of faults) {
    if (kind !== 'store-away' && kind !== 'planes-away') continue
    const beginMs = Math.max(atMs, heardUntilMs)
    const endMs = Math.min(atMs + forMs, toMs)
    deaf += Math.max(0, endMs - beginMs)
    heardUntilMs = Math.max(heardUntilMs, endMs)
  }
  return deaf
}

/** At no moment is one GPU promised to two jobs. */
function checkGpuLeases(history: History): void {
  const steps = [...history.jobs.values()].flatMap(({ id, steps: of }) => of.map((step) => ({ id, step })))
  const holder = new Map<string, string>()
  for (const { id, step } of steps.toSorted((a, b) => a.step.place - b.step.place)) {
    for (const [gpu, job] of holder) if (job === id) holder.delete(gpu)
    const { assignment } = step.after
    for (const gpu of assignment?.gpus ?? []) {
      const name = `${assignment?.agent}/${gpu}`
      const other = holder.get(name)
      if (other) history.violated('doubled', `${name} is leased to ${other} and ${id}`)
      holder.set(name, id)
    }
  }
}

const REQUEUE_MS = 10_000
/** With one of these about, ten seconds are not promised. */
const DISTURBING: readonly FaultKind[] = [
  'plane-crash',
  'planes-away',
  'plane-pause',
  'plane-clock',
  'store-away',
  'store-fails-before',
  'store-fails-after',
  'store-slow',
  'weather',
]

function checkRequeue({ plan, history, agents }: World, healedMs: number): void {
  for (const crash of plan.faults) {
    const dead = crash.kind === 'agent-crash' ? agents[crash.which % agents.length]?.id : undefined
    const untilMs = crash.atMs + REQUEUE_MS
    if (dead === undefined || crash.forMs < REQUEUE_MS || untilMs > healedMs) continue
    const isNear = (kind: FaultKind, fromMs: number, toMs: number): boolean =>
      DISTURBING.includes(kind) && fromMs < untilMs && toMs > crash.atMs - REQUEUE_MS
    if (plan.faults.some(({ kind, atMs, forMs }) => isNear(kind, atMs, atMs + forMs))) continue
    const comesBack = history.troubles.some(
      ({ agent, toMs }) => agent === dead && toMs !== null && toMs > crash.atMs && toMs < untilMs,
    )
    if (comesBack) continue
    for (const { id, steps } of history.jobs.values()) {
      const last = steps.findLast(({ ms }) => ms <= crash.atMs)?.after
      const isMeant =
        last?.assignment?.agent === dead &&
        last.assignment.session !== null &&
        willRetry(last, 'agent_lost') &&
        !last.retries.exclusive
      const isSettled = steps.some(({ ms, event }) => ms > crash.atMs && ms <= untilMs && event !== 'lapsed')
      if (isMeant && !isSettled)
        history.violated('other', `${id}: not in the queue ${REQUEUE_MS} ms after the death of ${dead}`)
    }
  }
}
