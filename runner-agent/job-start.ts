// From a grant to a running container: image, create, attach, input, start. Everything before the start can be given up
// at any moment; a container that was created and not started is removed by whoever catches the failure. Its output is
// read from before the start on, because the first byte arrives before the engine has answered.
import { imageOf, planContainer, type ContainerPlan } from '../shared/container-options.ts'
import { encodeRequest } from '../shared/nodetool.ts'
import type { JobSpec } from '../shared/job-spec.ts'
import { createUpdateMapper } from '../shared/update-mapper.ts'
import { sendInput } from './engine/attach.ts'
import { diedWithinStart } from './engine/classify.ts'
import { isEngineError } from './engine/engine-error.ts'
import { ensureImage, type EnsuredImage } from './engine/images.ts'
import type { PullProgress } from './engine/pull-progress.ts'
import { retryEngine } from './engine-retry.ts'
import { findByName } from './found-containers.ts'
import { sentenceOf } from './agent-log.ts'
import type { JobContext, JobDeps } from './job-context.ts'
import { leavesContainer, rejection } from './job-control.ts'
import { relayOutput, type JobOutput } from './job-output.ts'
import { ownUpdate, pullingUpdate } from './own-updates.ts'

export interface RunningContainer {
  readonly id: string
  readonly imageDigest: string | null
  readonly output: JobOutput
  /** Made before the machine was last started: it was killed with it, whatever code it shows. */
  readonly otherBoot: boolean
  /** Started by an earlier process, which may also have stopped it. */
  readonly adopted: boolean
}

/** An image that was looked for before the grant said which one it is. */
export interface EarlyImage {
  readonly image: string
  /** Null where it is not here, or nobody could say. */
  readonly present: Promise<EnsuredImage | null>
}

/** While the claim is on its way: saves a call's time where the image is here, and changes nothing where it is not. */
export function lookForImage({ engine }: Pick<JobDeps, 'engine'>, image: string, signal: AbortSignal): EarlyImage {
  // Whatever goes wrong here is met again, and told, by bringImage.
  return { image, present: ensureImage({ engine, image, pull: 'never', signal }).catch(() => null) }
}

/** Brings the image here; updates say so only where it had to be pulled. */
export async function bringImage(job: JobContext, early: EarlyImage | null): Promise<EnsuredImage> {
  const { deps, grant, key, control } = job
  const image = imageOf(grant.spec, deps.policy)
  const { pull } = grant.spec
  const looked = early?.image === image ? early : lookForImage(deps, image, control.anyStop)
  const seen = pull === 'always' ? null : await looked.present
  control.anyStop.throwIfAborted()
  if (seen) return seen
  const onProgress = (progress: PullProgress | null): void => void job.announce(pullingUpdate(key.job, image, progress))
  if (pull !== 'never') onProgress(null)
  const brought = await retryEngine(
    () => ensureImage({ engine: deps.engine, image, pull, onProgress, signal: control.anyStop }),
    control.anyStop,
  )
  if (brought.pulled) deps.onPulled()
  return brought
}

export async function startContainer(job: JobContext, image: EnsuredImage): Promise<RunningContainer> {
  const { deps, grant, key, control } = job
  job.setPhase('creating')
  job.announce(
    ownUpdate(key.job, 'creating', { agent: deps.agentId, ...(grant.gpus.length > 0 ? { gpus: grant.gpus } : {}) }),
  )
  const place = await deps.starts.acquire(control.anyStop)
  try {
    // By its id: the tag may move between here and the creation.
    const origin = { agentId: deps.agentId, bootId: deps.bootId, key, imageId: image.id, updates: job.lastN() }
    const plan = planContainer(grant, deps.policy, origin)
    const id = await createOnce(job, plan)
    return await startCreated(job, id, image.digest)
  } finally {
    place()
  }
}

/** Creates the container, or takes away one of the same name that an earlier, unanswered try has left. */
async function createOnce(job: JobContext, plan: ContainerPlan): Promise<string> {
  const { deps, key, control } = job
  const create = () => createUnlessStopped(job, plan)
  return retryEngine(async () => {
    try {
      return await create()
    } catch (error) {
      if (!isEngineError(error, 'name_in_use')) throw error
      const earlier = await findByName(deps.engine, deps.agentId, key, control.anyStop)
      // Never somebody else's, and never one that has run: that one would have been adopted.
      if (earlier?.state !== 'created') throw error
      await deps.engine.removeUnstarted(earlier.id, control.anyStop)
      return create()
    }
  }, control.anyStop)
}

/** A create that is given up may happen all the same: what it makes then is removed, unless the next process is to find it. */
async function createUnlessStopped({ deps, control: { anyStop } }: JobContext, plan: ContainerPlan): Promise<string> {
  anyStop.throwIfAborted()
  const making = deps.engine.createContainer(plan.name, plan.options)
  try {
    return (await Promise.race([making, rejection(anyStop)])).id
  } catch (error) {
    if (anyStop.aborted && !leavesContainer(anyStop.reason))
      making.then(
        ({ id }) => removeForGood(deps, id),
        () => undefined,
      )
    throw error
  }
}

async function startCreated(job: JobContext, id: string, imageDigest: string): Promise<RunningContainer> {
  const { deps, grant, control } = job
  const { engine } = deps
  let output: JobOutput | undefined
  try {
    const socket = await retryEngine(() => engine.attach(id, control.anyStop), control.anyStop)
    output = watchOutput(job, id, { socket })
    // Not awaited: a container may well run to its end without reading its input.
    void sendInput(socket, inputOf(grant.spec))
    await waitForFence(job)
    control.anyStop.throwIfAborted()
    const unanswered = await startOnce(job, id)
    job.announceRunning()
    output.started({ unanswered })
    return { id, imageDigest, output, otherBoot: false, adopted: false }
  } catch (error) {
    await output?.close()
    // A process that goes leaves it to the next one, which starts it afresh if it never ran.
    if (!leavesContainer(error)) await removeForGood(deps, id)
    throw error
  }
}

/**
 * Repeats a start that the engine did not answer, unless it happened or may have: a container that has run must not run
 * again. True where an answer was missing: whichever engine answers from now on was perhaps not there at the start.
 */
async function startOnce({ deps: { engine }, control: { letGo } }: JobContext, id: string): Promise<boolean> {
  let tries = 0
  let died = false
  await retryEngine(
    async () => {
      if (tries > 0) {
        if (!(await engine.inspectContainer(id, letGo)).State.StartedAt.startsWith('0001-')) return
        if (died) throw diedWithinStart(id)
      }
      tries += 1
      try {
        await engine.startContainer(id, letGo)
      } catch (error) {
        died ||= isEngineError(error, 'engine_away') && !error.unheard
        throw error
      }
    },
    letGo,
    // As patient as with a container that runs: this one may.
    1000,
  )
  return tries > 1
}

/** Attempt 2 and later run only once the stream holds their first update: it cuts off what the attempt before still says. */
async function waitForFence(job: JobContext): Promise<void> {
  if (job.key.attempt === 1) return
  await job.publisher.flush(job.control.anyStop)
}

/** The output of a container on its way to the publisher, with or without a socket. */
export function watchOutput(
  job: JobContext,
  containerId: string,
  from: { socket?: Parameters<typeof sendInput>[0] },
): JobOutput {
  const { deps, grant, key, control } = job
  const { resume, limits, spec } = grant
  return relayOutput({
    engine: deps.engine,
    containerId,
    ...from,
    stored: { stdout: resume.stdout_lines, stderr: resume.stderr_lines },
    lastN: job.lastN,
    advance: (count) => job.advance(count),
    lineBytes: limits.line_bytes,
    outputBytes: limits.output_bytes,
    createMapper: () =>
      createUpdateMapper({
        jobId: key.job,
        workflowId: spec.request?.workflow_id || null,
        parseUpdates: spec.parse_updates,
      }),
    sink: job.publisher,
    onFirstLine: () => job.announceRunning(),
    onOutputLimit: () => control.end('output_limit', 0),
    signal: control.letGo,
  })
}

const REMOVE_TIMEOUT_MS = 120_000

/** Removes a container, running or not. What cannot be removed now is found again by the agent's next start. */
export async function removeForGood({ engine, log }: Pick<JobDeps, 'engine' | 'log'>, id: string): Promise<void> {
  try {
    await retryEngine(() => engine.removeContainer(id), AbortSignal.timeout(REMOVE_TIMEOUT_MS), 30)
  } catch (error) {
    log.warn('A container could not be removed; the next start of the agent tries again.', {
      container: id,
      error: sentenceOf(error),
    })
  }
}

function inputOf(spec: JobSpec): Uint8Array {
  const encoder = new TextEncoder()
  if (spec.request) return encoder.encode(encodeRequest(spec.request))
  if (typeof spec.stdin === 'string') return encoder.encode(spec.stdin)
  return spec.stdin
    ? Uint8Array.from(atob(spec.stdin.base64), (character) => character.charCodeAt(0))
    : new Uint8Array(0)
}
