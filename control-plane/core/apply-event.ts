// Portable: Web APIs only.
//
// The one way in which a job's row changes: read it, ask `transition`, commit by compare-and-set, and begin again when
// somebody else was faster. Promises that an applied event was applied to exactly the state that it was judged on.
import { transition, type JobEvent, type Refusal } from '../../shared/job-machine.ts'
import { backoffMs } from '../../shared/backoff.ts'
import { AppError } from '../../shared/errors.ts'
import type { JobRecord, JobState } from '../../shared/job.ts'
import type { CoreContext } from './deps.ts'
import type { AttemptFacts, Change, Guard, JobKey } from './ports.ts'

/** Each lost race means that another writer won, so many losses in a row mean that something is wrong. */
const MAX_TRIES = 20
/** A guard that fails on a row that did not move will fail again: the reason for the event has gone. */
const MAX_GUARD_TRIES = 2
const MAX_RETRY_BACKOFF_MS = 3_600_000

export interface Step {
  readonly event: JobEvent
  readonly reason?: string
  readonly attempt?: AttemptFacts
  readonly guard?: Guard
}

export type Applied =
  | { readonly kind: 'applied'; readonly before: JobRecord; readonly state: JobState }
  | { readonly kind: 'refused'; readonly refusal: Refusal; readonly record: JobRecord }
  /** The guard no longer holds; the row is as it was. */
  | { readonly kind: 'guarded'; readonly record: JobRecord }
  | { readonly kind: 'missing' }

/** Applies one event to one job. `known` saves the first read where the caller has just read the row. */
export async function applyEvent(core: CoreContext, key: JobKey, step: Step, known?: JobRecord): Promise<Applied> {
  let guardTries = 0
  let record = known ?? (await core.store.readJob(key))
  for (let tries = 0; tries < MAX_TRIES; tries++) {
    if (!record) return { kind: 'missing' }
    const next = transition(record.state, step.event)
    if (!next.ok) return { kind: 'refused', refusal: next.refusal, record }
    if (await core.store.commit(changeOf(record.state, next.job, step))) {
      announce(core, key, record.state, next.job)
      return { kind: 'applied', before: record, state: next.job }
    }
    const seenRev = record.state.rev
    record = await core.store.readJob(key)
    if (record?.state.rev === seenRev && ++guardTries >= MAX_GUARD_TRIES) return { kind: 'guarded', record }
  }
  throw new AppError('unavailable', `Cannot change job "${key.job}": ${MAX_TRIES} other changes came first. Try again.`)
}

function changeOf(before: JobState, after: JobState, step: Step): Change {
  const retried = after.failures > before.failures
  const delayMs = backoffMs(
    before.failures,
    { firstMs: before.retries.backoff_seconds * 1000, maxMs: MAX_RETRY_BACKOFF_MS },
    1,
  )
  return {
    before,
    after,
    event: step.event,
    reason: step.reason,
    attempt: step.attempt,
    guard: step.guard,
    notBeforeMs: retried ? delayMs : undefined,
  }
}

function announce(core: CoreContext, key: JobKey, before: JobState, after: JobState): void {
  core.hint(key)
  const freed = before.assignment !== null && after.assignment === null
  if (!freed && after.phase !== 'queued') return
  core.pokeScheduler()
  if (after.failures > before.failures)
    core.clock.after(before.retries.backoff_seconds * 1000 + 20, () => core.pokeScheduler())
}
