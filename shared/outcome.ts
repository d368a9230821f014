// Portable: Web APIs only.
//
// How an attempt ended: the exit table of PROTOCOL 2 as one pure function from what Docker says and what the container
// said to the exit, result and error of `finish`. Docker decides first, the container's own words only fill in.
import { ERRORS, jobError, type JobError } from './errors.ts'
import type { ContainerStory } from './container-story.ts'
import type { Exit } from './job.ts'
import { seqOf } from './position.ts'
import { formatSize } from './sizes.ts'

/** Why we stopped a container; null where nobody of ours did. */
export type KillReason = 'timeout' | 'cancelled' | 'output_limit' | 'gpu_memory' | 'lost'

export interface ContainerEnd {
  /** Null where the container is gone and nobody can say. */
  readonly code: number | null
  /** As the engine says it: also true when a child was killed and the container went on. */
  readonly oomKilled: boolean
  readonly killedBy: KillReason | null
  /** It ended while no engine was there to take its last output. */
  readonly unheard?: boolean
  /** The last signal that we sent. */
  readonly signal?: string | undefined
}

/** What the texts of errors mention. */
export interface EndLimits {
  readonly memoryBytes: number
  readonly timeoutSeconds: number | null
  readonly outputBytes: number
}

export interface Outcome {
  readonly exit: Exit
  readonly result?: unknown
  readonly error?: JobError | undefined
}

/** A larger result is not repeated in the terminal update: it points to the update that holds it. */
export const MAX_RESULT_BYTES = 256 * 1024

const INIT_CODES = [126, 127]

export function outcomeOf(end: ContainerEnd, story: ContainerStory, limits: EndLimits, attempt: number): Outcome {
  const exit = (reason: Exit['reason']): Exit => ({
    code: end.code,
    ...(end.signal === undefined ? {} : { signal: end.signal }),
    oom_killed: end.oomKilled,
    reason,
  })
  if (end.killedBy) return killed(end.killedBy, exit(end.killedBy), limits)
  if (end.code === null)
    return { exit: exit('lost'), error: jobError('engine_lost', 'The container is gone: its end is unknown.') }
  // Where the container had said how it ended, nothing that counts can have come after it.
  if (end.unheard && story.status === null) return unheard(end.code, exit('lost'))
  if (end.code !== 0) return failed(end, story, limits, exit)
  return ended(story, exit, attempt)
}

/** The outcome of an attempt whose container never ran, for a reason that has its own error. */
export function neverRan(error: JobError, code: number | null): Outcome {
  return { exit: { code, oom_killed: false, reason: code === null ? 'lost' : 'exited' }, error }
}

function unheard(code: number, exit: Exit): Outcome {
  const message = `The container ended with exit code ${code} while no Docker engine was there: the end of its output is lost.`
  return { exit, error: jobError('engine_lost', message) }
}

type ExitOf = (reason: Exit['reason']) => Exit

function killed(reason: KillReason, exit: Exit, limits: EndLimits): Outcome {
  switch (reason) {
    case 'cancelled':
      return { exit }
    case 'timeout':
      return {
        exit,
        error: jobError('timeout', `The container was stopped after ${limits.timeoutSeconds ?? 0} seconds.`),
      }
    case 'output_limit':
      return {
        exit,
        error: jobError('output_limit', `The container printed more than ${formatSize(limits.outputBytes)}.`),
      }
    case 'gpu_memory':
      return { exit, error: jobError('gpu_memory') }
    case 'lost':
      return {
        exit,
        error: jobError(
          'agent_lost',
          'The agent stopped the container: the control plane was out of its reach for too long.',
        ),
      }
  }
}

function failed(end: ContainerEnd, story: ContainerStory, limits: EndLimits, exit: ExitOf): Outcome {
  if (end.oomKilled) {
    return {
      exit: exit('oom'),
      error: jobError('oom', `The container used more than its ${formatSize(limits.memoryBytes)} of memory.`),
    }
  }
  if (story.initFailure !== null && INIT_CODES.includes(end.code ?? 0)) {
    return {
      exit: exit('exited'),
      error: jobError('start_failed', `The command could not be run: ${story.initFailure}`),
    }
  }
  const text = story.failure ?? (story.stderrTail.join('\n') || `The container exited with code ${end.code}.`)
  return { exit: exit('exited'), error: jobError('exit_nonzero', text) }
}

function ended(story: ContainerStory, exit: ExitOf, attempt: number): Outcome {
  switch (story.status) {
    case 'cancelled':
      return { exit: exit('container') }
    case 'suspended':
      return { exit: exit('exited'), error: jobError('suspended') }
    case 'failed':
    case 'error':
      return { exit: exit('exited'), error: jobError('workflow_failed', story.failure ?? ERRORS.workflow_failed.title) }
    default:
      return { exit: exit('exited'), result: resultOf(story, attempt) }
  }
}

function resultOf(story: ContainerStory, attempt: number): unknown {
  if (!story.result) return {}
  const { value, n } = story.result
  const sizeBytes = new TextEncoder().encode(JSON.stringify(value)).length
  return sizeBytes > MAX_RESULT_BYTES ? { $update: seqOf(attempt, n) } : value
}
