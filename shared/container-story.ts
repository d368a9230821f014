// Portable: Web APIs only.
//
// What a container said about its own run, as far as its job's end needs it (PROTOCOL 2): the last status that ends a
// run, the first failure's text, the last result, and the end of stderr. Bounded: one text, one result, twenty lines.
import type { TypedObject } from './json-lines.ts'
import { isQuietLevel } from './log-severity.ts'
import type { Writable } from './writable.ts'

export interface ContainerStory {
  /** Last job_update status that ends a run (completed, failed, error, cancelled, suspended), or null. */
  readonly status: string | null
  /** Text of the first failed job_update or error. Later ones only repeat it in other words. */
  readonly failure: string | null
  /** Of the last completed job_update, and the n of the update that holds it. */
  readonly result: { readonly value: unknown; readonly n: number } | null
  /** The last lines of stderr that are not INFO or below. */
  readonly stderrTail: readonly string[]
  /** What the container's init printed when the command could not be run, or null. */
  readonly initFailure: string | null
}

export interface StoryTeller extends ContainerStory {
  sawUpdate(update: TypedObject, n: number): void
  sawStderr(text: string, level: string | undefined): void
}

const ENDING = ['completed', 'failed', 'error', 'cancelled', 'suspended']
const TAIL_LINES = 20
// 20 lines of it fit the 64 KiB that an error's message may have.
const TAIL_LINE_CHARACTERS = 2000
const FAILURE_CHARACTERS = 60_000
// Docker's init is tini: it says so when exec fails, and exits with 127 or 126.
const INIT_FAILURE = /^\[FATAL tini \(\d+\)\] exec .+ failed: .+/

export function createContainerStory(): StoryTeller {
  const stderrTail: string[] = []
  const story: Writable<StoryTeller> = {
    status: null,
    failure: null,
    result: null,
    initFailure: null,
    stderrTail,
    sawUpdate(update, n) {
      story.failure ??= failureIn(update)
      if (update.type !== 'job_update') return
      if (typeof update['status'] !== 'string' || !ENDING.includes(update['status'])) return
      story.status = update['status']
      // A completed one without a result takes back the result of the run before it.
      if (story.status === 'completed') story.result = { value: update['result'] ?? {}, n }
    },
    sawStderr(text, level) {
      if (INIT_FAILURE.test(text)) story.initFailure = text
      if (isQuietLevel(level) || text.trim() === '') return
      stderrTail.push(text.slice(0, TAIL_LINE_CHARACTERS))
      if (stderrTail.length > TAIL_LINES) stderrTail.shift()
    },
  }
  return story
}

function failureIn(update: TypedObject): string | null {
  const failed = update.type === 'job_update' && (update['status'] === 'failed' || update['status'] === 'error')
  if (!failed && update.type !== 'error') return null
  const texts = update.type === 'error' ? [update['message'], update['error']] : [update['error'], update['message']]
  const text = texts.find((candidate) => candidate !== undefined && candidate !== null && candidate !== '')
  if (text === undefined) return null
  return (typeof text === 'string' ? text : JSON.stringify(text)).slice(0, FAILURE_CHARACTERS)
}
