// What went wrong on the way to a container, as the job's error. The engine's failures come with a sentence of their own;
// anything else is a fault of ours and says so.
import { jobError, type JobError } from '../shared/errors.ts'
import { neverRan, type Outcome } from '../shared/outcome.ts'
import { sentenceOf } from './agent-log.ts'
import { isEngineError } from './engine/engine-error.ts'
import type { JobContext } from './job-context.ts'
import { JobDropped, JobEnding, leavesContainer } from './job-control.ts'

/** What a failure means for the job; null where the attempt itself is not ours to end. */
export function failureOf(job: JobContext, error: unknown): Outcome | null {
  if (error instanceof JobDropped || leavesContainer(error) || job.control.letGo.aborted) return null
  if (error instanceof JobEnding) return endedBeforeStart(job)
  if (isEngineError(error)) return neverRan(jobError(error.code, error.message, error.hint), error.exitCode ?? null)
  job.deps.log.error('A job failed in the agent.', {
    ...job.key,
    error: error instanceof Error ? (error.stack ?? error.message) : String(error),
  })
  return neverRan(jobError('internal', `The agent failed: ${sentenceOf(error)}`), null)
}

function endedBeforeStart(job: JobContext): Outcome {
  const reason = job.control.reason ?? 'cancelled'
  const error: JobError | undefined =
    reason === 'cancelled'
      ? undefined
      : jobError('agent_lost', 'The container was not started: the control plane was out of reach for too long.')
  return { exit: { code: null, oom_killed: false, reason }, error }
}
