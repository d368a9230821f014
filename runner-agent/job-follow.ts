// A running container to its end: stop it when it should end, count its time, read its output, ask Docker how it ended,
// and say what that means. Works the same for a container that was just started and for one that was found.
import { outcomeOf, type ContainerEnd, type Outcome } from '../shared/outcome.ts'
import { effectiveLimits } from '../shared/job-spec.ts'
import { containerEnd, UNKNOWN_END, type EndFacts } from './container-end.ts'
import { isKill } from './earlier-kill.ts'
import type { ContainerInspection } from './engine/engine-client.ts'
import { isEngineError } from './engine/engine-error.ts'
import { NO_MEMORY, type EngineMemory } from './engine/engine-memory.ts'
import type { ContainerExit } from './engine/exit-watch.ts'
import { pause } from './engine/pause.ts'
import { engineLeadMs } from './engine-clock.ts'
import { retryEngine } from './engine-retry.ts'
import type { JobContext } from './job-context.ts'
import type { RunningContainer } from './job-start.ts'
import { after, watchForStop, type Stopper } from './job-stopper.ts'

export interface JobEnd {
  readonly outcome: Outcome
  readonly startedAt: string | null
  readonly finishedAt: string
  readonly imageDigest: string | null
  /** Null where no container was made. */
  readonly containerId: string | null
  /** Everything that was said has been handed to the publisher. */
  readonly handedOver: Promise<void>
}

/** An engine may hear of a lack of memory after it heard of the end (engine-memory.ts): this much later at most. */
const LATE_OOM_MS = 1000

export async function followContainer(job: JobContext, running: RunningContainer): Promise<JobEnd> {
  const { deps, control, grant } = job
  const { output } = running
  const exited = new AbortController()
  const over = AbortSignal.any([exited.signal, control.letGo])
  const first = inspectIfThere(job, running.id)
  const stopper = first.then((found) =>
    watchForStop({
      engine: deps.engine,
      containerId: running.id,
      stopSignal: stopSignalOf(job, found),
      control,
      exited: over,
      log: deps.log,
    }),
  )
  const limits = effectiveLimits(grant.spec, deps.policy.defaults)
  // Settled from here on, so that no failure of it goes unseen while the exit is waited for.
  const background = Promise.allSettled([
    first.then((found) => watchTime(job, found, limits.timeoutSeconds, over)),
    stopper.then(({ done }) => done),
  ])
  try {
    // A container that is gone rejects; what it left to read is read all the same.
    const exit = await output.exited().catch(goneOrThrow)
    exited.abort()
    const [last] = await Promise.all([inspectIfThere(job, running.id), output.counted.catch(goneOrThrow)])
    const found = exit && !running.otherBoot ? last : null
    const memory = found && exit ? await memoryOf(job, running, found, exit) : NO_MEMORY
    const uninterrupted = exit?.uninterrupted ?? true
    const end = await endOf(job, running, found, { uninterrupted, memory, ...(await stopper) })
    const { timeoutSeconds, memory: memoryBytes } = limits
    const outcome = outcomeOf(
      end,
      output.story,
      { memoryBytes, timeoutSeconds, outputBytes: grant.limits.output_bytes },
      job.key.attempt,
    )
    const known = last ?? (await first)
    return {
      outcome,
      startedAt: isoOf(known?.State.StartedAt),
      finishedAt: isoOf(last?.State.FinishedAt) ?? new Date().toISOString(),
      imageDigest: running.imageDigest ?? known?.Image ?? null,
      containerId: running.id,
      handedOver: output.handedOver,
    }
  } finally {
    exited.abort()
    await Promise.all([background, output.close()])
  }
}

/** `timeout_seconds` counts from the start as Docker tells it, by its clock, so that following it anew does not extend it. */
async function watchTime(
  job: JobContext,
  found: ContainerInspection | null,
  timeoutSeconds: number | null,
  over: AbortSignal,
): Promise<void> {
  const startedAt = isoOf(found?.State.StartedAt)
  if (timeoutSeconds === null) return
  const leadMs = await engineLeadMs(job.deps.engine, over)
  const ranMs = startedAt === null ? 0 : Math.max(0, Date.now() + leadMs - Date.parse(startedAt))
  await after(timeoutSeconds * 1000 - ranMs, over, () => job.control.end('timeout', job.grant.spec.stop_grace_seconds))
}

async function endOf(
  job: JobContext,
  running: RunningContainer,
  found: ContainerInspection | null,
  { uninterrupted, memory, signal, sentAtMs }: Pick<EndFacts, 'uninterrupted' | 'memory'> & Stopper,
): Promise<ContainerEnd> {
  if (!found || isBeingRemoved(found)) return UNKNOWN_END
  const { grant, deps, control } = job
  const { ExitCode: code, OOMKilled: oomKilled, StartedAt: startedAt, FinishedAt: finishedAt } = found.State
  const { reason } = control
  const earlier = {
    timeoutSeconds: effectiveLimits(grant.spec, deps.policy.defaults).timeoutSeconds,
    cancelRequested: grant.cancel_requested || reason === 'cancelled',
    overItsOutput: reason === 'output_limit',
  }
  // The one time of ours that its stamps are compared with.
  const leadMs = sentAtMs === null ? 0 : await engineLeadMs(deps.engine, control.letGo)
  return containerEnd({
    code,
    oomKilled: oomKilled || memory.sawOom,
    startedAt,
    finishedAt,
    stopSignal: stopSignalOf(job, found),
    uninterrupted,
    memory,
    signal,
    sentAtMs: sentAtMs === null ? null : sentAtMs + leadMs,
    reason,
    earlier: running.adopted ? earlier : null,
  })
}

/**
 * Asked where it may matter: this process did not see all of its life, or it was killed by nobody of ours. An engine that
 * is asked to end stops its containers and still tells it; by the time it answers this, it is another one.
 */
async function memoryOf(
  job: JobContext,
  { id, adopted }: RunningContainer,
  found: ContainerInspection,
  { exitCode, uninterrupted }: ContainerExit,
): Promise<EngineMemory> {
  const { deps, control } = job
  const killed = isKill(exitCode, stopSignalOf(job, found)) && control.reason === null
  if (!adopted && uninterrupted && !killed) return NO_MEMORY
  const recall = (): Promise<EngineMemory> =>
    retryEngine(() => deps.engine.recall(id, control.letGo), control.letGo, 1000)
  try {
    const memory = await recall()
    if (!killed || found.State.OOMKilled || memory.sawOom || !memory.sawEnd) return memory
    await pause(LATE_OOM_MS, control.letGo)
    // Of the rest what was said first stands: it may be another engine by now.
    return { ...memory, sawOom: (await recall()).sawOom }
  } catch (error) {
    // An engine that keeps no events.
    if (isEngineError(error)) return NO_MEMORY
    throw error
  }
}

/** By somebody else: what its state says then may be the removal's kill. */
function isBeingRemoved({ State }: ContainerInspection): boolean {
  return State.Dead || State.Status === 'removing'
}

function goneOrThrow(error: unknown): null {
  if (isEngineError(error, 'container_missing', 'log_unreadable')) return null
  throw error
}

async function inspectIfThere(job: JobContext, id: string): Promise<ContainerInspection | null> {
  const { engine } = job.deps
  try {
    return await retryEngine(() => engine.inspectContainer(id, job.control.letGo), job.control.letGo, 1000)
  } catch (error) {
    if (isEngineError(error)) return null
    throw error
  }
}

/** The job's, else the image's; the engine merges both, and dockerode's types do not know it. */
function stopSignalOf({ grant }: JobContext, found: ContainerInspection | null): string {
  const { StopSignal } = (found?.Config ?? {}) as { StopSignal?: string }
  return StopSignal || (grant.spec.stop_signal ?? 'SIGTERM')
}

/** Docker writes nanoseconds, and the year 1 for "never". */
function isoOf(time: string | undefined): string | null {
  if (time === undefined || time.startsWith('0001-')) return null
  const ms = Date.parse(time)
  return Number.isNaN(ms) ? null : new Date(ms).toISOString()
}
