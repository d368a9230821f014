// The claim: what makes an attempt ours. It waits until the control plane has taken this process for the agent's newest,
// and is asked again until there is an answer. Asked with `adopt`, it also says where the stored updates end.
import type { ClaimBody, Grant, Resume } from '../shared/agent-protocol.ts'
import type { AttemptKey } from '../shared/subjects.ts'
import { sentenceOf } from './agent-log.ts'
import { untilAnswered } from './control-plane-client.ts'
import { retryEngine } from './engine-retry.ts'
import type { FoundContainer } from './found-containers.ts'
import type { JobDeps } from './job-context.ts'
import { JobDetached, JobDropped, type JobControl } from './job-control.ts'
import { aborted } from './job-stopper.ts'

const UNCLAIMED_GRACE_SECONDS = 10

export async function claim(deps: JobDeps, key: AttemptKey, control: JobControl, adopt: boolean): Promise<Grant> {
  const grant = await claimOnce(deps, key, { adopt, publishing: false }, control.letGo)
  if (grant) return grant
  throw new JobDropped('The claim was refused: the attempt does not count.')
}

async function claimOnce(
  deps: JobDeps,
  key: AttemptKey,
  how: Pick<ClaimBody, 'adopt' | 'publishing'>,
  signal: AbortSignal,
): Promise<Grant | null> {
  const answer = await untilAnswered(
    () => deps.controlPlane.claim(key, { attempt: key.attempt, beat: deps.beat(), ...how }, signal),
    signal,
  )
  if (answer.kind === 'ok') return answer.value
  // Whether this whole process is superseded is the heartbeat's to say; this attempt is in another one's hands.
  if (answer.kind === 'superseded') throw new JobDetached('Another process of this agent holds the attempt.')
  if (answer.kind === 'refused')
    deps.log.warn('A claim was refused.', { ...key, status: answer.status, detail: answer.detail })
  deps.poke()
  return null
}

/** Where the stored updates end now, for a publisher whose message has an unknown fate. */
export async function readResume(
  deps: JobDeps,
  key: AttemptKey,
  control: JobControl,
  signal: AbortSignal,
): Promise<Resume | 'fenced'> {
  try {
    return (await claimOnce(deps, key, { adopt: true, publishing: true }, signal))?.resume ?? 'fenced'
  } catch (error) {
    if (error instanceof JobDetached) control.detach()
    throw error
  }
}

/** A container that was found while the control plane is away ends at its lost_after like any other. */
export async function stopUnclaimed(
  { engine, log }: JobDeps,
  found: FoundContainer,
  control: JobControl,
  claimed: AbortSignal,
): Promise<void> {
  await aborted(AbortSignal.any([control.ending, claimed]))
  if (claimed.aborted) return
  try {
    await retryEngine(() => engine.stopContainer(found.id, UNCLAIMED_GRACE_SECONDS, claimed), claimed, 1000)
  } catch (error) {
    if (!claimed.aborted) log.warn('A container could not be stopped.', { ...found.key, error: sentenceOf(error) })
  }
}
