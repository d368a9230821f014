// Takes over a container that an earlier process of this agent left. One that was never started is removed, because
// starting it afresh is simpler and as good. Of one that ran, everything is read from Docker's log: lines that are
// stored already are only looked at, for what they say about the run, and the rest goes on where the stored updates end.
import { diedWithinStart } from './engine/classify.ts'
import { isEngineError } from './engine/engine-error.ts'
import { retryEngine } from './engine-retry.ts'
import { findByName, type FoundContainer } from './found-containers.ts'
import type { JobContext } from './job-context.ts'
import { watchOutput, type RunningContainer } from './job-start.ts'

/**
 * What is to be adopted now: the claim may have taken long, and another process of this agent that still lived (a restart
 * that overlaps, a copied state folder) may have put a new container in the place of the one that was found.
 */
export async function findAgain({ deps, key, control }: JobContext, found: FoundContainer): Promise<FoundContainer> {
  const { engine, agentId } = deps
  try {
    await withPatience(() => engine.inspectContainer(found.id, control.letGo), control.letGo)
    return found
  } catch (error) {
    if (!isEngineError(error, 'container_missing')) throw error
    const now = await withPatience(() => findByName(engine, agentId, key, control.letGo), control.letGo)
    if (!now) throw error
    return now
  }
}

/** Null where nothing ran: then it is started like any other. */
export async function adoptContainer(job: JobContext, found: FoundContainer): Promise<RunningContainer | null> {
  const { deps, control } = job
  const { State, Image } = await withPatience(
    () => deps.engine.inspectContainer(found.id, control.letGo),
    control.letGo,
  )
  if (State.StartedAt.startsWith('0001-')) {
    const { stdout_lines: stdout, stderr_lines: stderr } = job.grant.resume
    if (stdout + stderr > 0) throw diedWithinStart(found.id)
    if (await removeUnstarted(job, found.id)) return null
    return adoptContainer(job, found)
  }
  job.announceRunning()
  const output = watchOutput(job, found.id, {})
  output.started()
  const otherBoot = found.bootId !== deps.bootId
  return { id: found.id, imageDigest: await digestOf(job, Image), output, otherBoot, adopted: true }
}

/** False where the process that made it was alive and has started it meanwhile: it runs, and is ours to read. */
async function removeUnstarted({ deps, control }: JobContext, id: string): Promise<boolean> {
  try {
    await withPatience(() => deps.engine.removeUnstarted(id, control.letGo), control.letGo)
    return true
  } catch (error) {
    if (isEngineError(error, 'running')) return false
    throw error
  }
}

/** As long as it takes: a container that may run is not given up for an engine that is away. */
const withPatience = <T>(call: () => Promise<T>, signal: AbortSignal): Promise<T> => retryEngine(call, signal, 1000)

async function digestOf(job: JobContext, image: string): Promise<string> {
  try {
    const { RepoDigests } = await job.deps.engine.inspectImage(image, job.control.letGo)
    return RepoDigests?.[0]?.split('@')[1] ?? image
  } catch (error) {
    // The image may have been removed under a container that still runs.
    if (isEngineError(error)) return image
    throw error
  }
}
