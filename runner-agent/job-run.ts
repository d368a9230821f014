// One attempt on this machine, from "claim it" to nothing left: claim, image, container, output, finish, remove. The
// steps are in files of their own; here is their order and what is done with whatever goes wrong.
//   claim        409 fenced: it does not count, nothing happens
//   run          a failure on the way is the job's error, in a sentence; a container that never ran is removed
//   finish       over HTTP at the exit, NATS up or not, until 200 or 409
//   hand over    every update stored
//   remove       only after both: the container's log is the spool
// `drop` ends it from outside at any point: the attempt does not count any more. `detach` lets go and leaves the container.
import type { Grant, HeldAttempt } from '../shared/agent-protocol.ts'
import type { HeldPhase } from '../shared/job.ts'
import type { AttemptKey } from '../shared/subjects.ts'
import { sentenceOf } from './agent-log.ts'
import type { FoundContainer } from './found-containers.ts'
import { adoptContainer, findAgain } from './job-adopt.ts'
import { claim, readResume, stopUnclaimed } from './job-claim.ts'
import type { JobContext, JobDeps } from './job-context.ts'
import { createJobControl, JobDropped, JobRewound, leavesContainer, rejection, type JobControl } from './job-control.ts'
import { failureOf } from './job-failure.ts'
import { sendFinish } from './job-finish.ts'
import { followContainer, type JobEnd } from './job-follow.ts'
import {
  bringImage,
  lookForImage,
  removeForGood,
  startContainer,
  type EarlyImage,
  type RunningContainer,
} from './job-start.ts'
import { ownUpdate } from './own-updates.ts'
import type { Publisher } from './publisher.ts'
import type { PublisherStop } from './unit-sender.ts'

export interface JobRun {
  readonly key: AttemptKey
  readonly control: JobControl
  held(): HeldAttempt
  /** Seconds without a renewal after which its container must stop. */
  lostAfterSeconds(): number
  readonly done: Promise<RunEnd>
}

/** Nothing of it is left here; or it was never ours; or its container has to be taken over once more. */
export type RunEnd = 'over' | 'unclaimed' | 'again'

export interface JobStart {
  readonly key: AttemptKey
  /** What the command says that the image is: looked for while the claim is on its way. */
  readonly image?: string | undefined
  /** A container of this attempt that an earlier process left. */
  readonly found?: FoundContainer | undefined
}

const DEFAULT_LOST_AFTER_SECONDS = 600

interface RunState {
  phase: HeldPhase
  lastN: number
  grant: Grant | null
  publisher: Publisher | null
  containerId: string | null
  /** The container that is taken over, while there is one to take over. */
  found: FoundContainer | null
}

export function startJobRun(deps: JobDeps, start: JobStart): JobRun {
  const { key, found } = start
  const control = createJobControl()
  const state: RunState = {
    phase: phaseOfFound(found),
    lastN: 0,
    grant: null,
    publisher: null,
    containerId: found?.id ?? null,
    found: found ?? null,
  }
  const done = run(deps, start, control, state)
    .then(
      () => 'over' as const,
      // Who lets go says why; a step that this interrupts may say something else, whichever hears of it first.
      (error: unknown) => settleFailure(deps, key, state, control.letGo.aborted ? control.letGo.reason : error),
    )
    .then(async (how) => {
      await state.publisher?.stop()
      return how
    })
  return {
    key,
    control,
    held: () => ({
      ...key,
      phase: state.phase,
      ...(state.publisher?.position() ?? { n: 0, stdout_lines: 0, stderr_lines: 0 }),
    }),
    lostAfterSeconds: () => state.grant?.lost_after_seconds ?? found?.lostAfterSeconds ?? DEFAULT_LOST_AFTER_SECONDS,
    done,
  }
}

function phaseOfFound(found: FoundContainer | undefined): HeldPhase {
  if (!found) return 'pulling'
  return found.state === 'exited' || found.state === 'dead' ? 'finished' : 'running'
}

async function run(
  deps: JobDeps,
  { key, image, found }: JobStart,
  control: JobControl,
  state: RunState,
): Promise<void> {
  const early = found ? null : lookForImage(deps, image ?? deps.policy.image, control.letGo)
  const claimed = new AbortController()
  if (found) void stopUnclaimed(deps, found, control, AbortSignal.any([claimed.signal, control.letGo]))
  await Promise.race([deps.welcomed, rejection(control.letGo)])
  const grant = await claim(deps, key, control, found !== undefined)
  claimed.abort()
  state.grant = grant
  state.lastN = grant.resume.n
  const publisher = deps.openPublisher({
    key,
    resume: grant.resume,
    readResume: (signal) => readResume(deps, key, control, signal),
    onStop: (stop) => ON_STOP[stop.kind](control),
  })
  state.publisher = publisher
  if (grant.cancel_requested) control.end('cancelled', grant.cancel_grace_seconds ?? grant.spec.stop_grace_seconds)
  const job = createContext(deps, key, control, state, grant, publisher)
  const end = await runToEnd(job, state, early)
  job.setPhase('finished')
  const read = end.handedOver.catch((error: unknown) =>
    deps.log.warn('Output could not be read to its end.', { ...key, error: sentenceOf(error) }),
  )
  await Promise.all([sendFinish(job, end), read.then(() => publisher.flush(control.letGo))])
  if (end.containerId !== null) await removeForGood(deps, end.containerId)
}

/** When nothing more may be published: a newer process has the container, or it does not count, or it is read anew. */
const ON_STOP: Readonly<Record<PublisherStop['kind'], (control: JobControl) => void>> = {
  superseded: (control) => control.detach(),
  fenced: (control) => control.drop(),
  rewind: (control) => control.rewind(),
}

async function runToEnd(job: JobContext, state: RunState, early: EarlyImage | null): Promise<JobEnd> {
  try {
    const adopted = await adopt(job, state)
    const running = adopted ?? (await startContainer(job, await bringImage(job, early)))
    state.containerId = running.id
    return await followContainer(job, running)
  } catch (error) {
    const outcome = failureOf(job, error)
    if (!outcome) throw error
    return {
      outcome,
      startedAt: null,
      finishedAt: new Date().toISOString(),
      imageDigest: null,
      containerId: state.containerId,
      handedOver: Promise.resolve(),
    }
  }
}

async function adopt(job: JobContext, state: RunState): Promise<RunningContainer | null> {
  if (!state.found) return null
  state.found = await findAgain(job, state.found)
  state.containerId = state.found.id
  const adopted = await adoptContainer(job, state.found)
  if (!adopted) {
    state.found = null
    state.containerId = null
  }
  return adopted
}

function createContext(
  deps: JobDeps,
  key: AttemptKey,
  control: JobControl,
  state: RunState,
  grant: Grant,
  publisher: Publisher,
): JobContext {
  let announced = false
  const job: JobContext = {
    deps,
    key,
    grant,
    control,
    publisher,
    setPhase(phase) {
      // One that was found ended stays so: its row may be terminal already, and only its last updates are wanted.
      if (state.phase === phase || state.phase === 'finished') return
      state.phase = phase
      // Creating lasts for milliseconds, in which the engine wants all of the machine: the next beat tells it anyway.
      if (phase !== 'creating') deps.poke()
    },
    lastN: () => state.lastN,
    advance(count) {
      state.lastN += count
    },
    announce(update) {
      const { stdout_lines: stdout, stderr_lines: stderr } = grant.resume
      if (!publisher.offer([update], { stdout, stderr })) return false
      state.lastN += 1
      return true
    },
    announceRunning() {
      if (announced) return
      announced = true
      const { found: adopted } = state
      const before = adopted?.updatesBefore ?? 0
      // Each update has the number that the process before gave it, which may have finished the job by them. What that
      // one said and never stored stands in its place as often as it was said.
      while (adopted && state.lastN < before && job.announce(ownUpdate(key.job, 'creating', { agent: deps.agentId })));
      // Of a container that was found running the stored updates may say so already.
      const told = adopted !== null && grant.resume.n > before
      if (!told) job.announce(ownUpdate(key.job, 'running', { agent: deps.agentId }))
      job.setPhase('running')
    },
  }
  return job
}

/** Nothing of this attempt is left to end: its container goes, unless the next process is to find it. */
async function settleFailure(deps: JobDeps, key: AttemptKey, state: RunState, error: unknown): Promise<RunEnd> {
  if (error instanceof JobRewound) return 'again'
  const how = state.grant ? 'over' : 'unclaimed'
  if (leavesContainer(error)) return how
  if (!(error instanceof JobDropped)) deps.log.error('A job run ended badly.', { ...key, error: sentenceOf(error) })
  if (state.containerId !== null) await removeForGood(deps, state.containerId)
  return how
}
