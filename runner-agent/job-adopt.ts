// Takes over a container that an earlier process of this agent left. One that was never started is removed, because
// starting it afresh is simpler and as good. Of one that ran, everything is read from Docker's log: lines that are
// stored already are only looked at, for what they say about the run, and the rest goes on where the stored updates end.
import { isEngineError } from './engine/engine-error.ts'
import { retryEngine } from './engine-retry.ts'
import type { FoundContainer } from './found-containers.ts'
import type { JobContext } from './job-context.ts'
import { removeForGood, watchOutput, type RunningContainer } from './job-start.ts'

/** Null where nothing ran: then it is started like any other. */
export async function adoptContainer(job: JobContext, found: FoundContainer): Promise<RunningContainer | null> {
  const { deps, control } = job
  const { State, Image } = await retryEngine(
    () => deps.engine.inspectContainer(found.id, control.letGo),
    control.letGo,
    1000,
  )
  if (State.StartedAt.startsWith('0001-')) {
    await removeForGood(deps, found.id)
    return null
  }
  job.announceRunning()
  const output = watchOutput(job, found.id, {})
  output.started()
  const otherBoot = found.bootId !== deps.bootId
  return { id: found.id, imageDigest: await digestOf(job, Image), output, otherBoot, adopted: true }
}

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
