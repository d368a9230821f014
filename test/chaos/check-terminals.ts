// Promise 1: every accepted job is there at the end, ended once, and never ended otherwise; and it ended in a way that
// its script and what was done to it allow. Pure.

import { ENDS } from './job-book.ts'
import { eventsOf, findingsOf, groupBy, type Violation } from './check-input.ts'
import type { ChaosEvent, FinalJob } from './history.ts'
import type { JobPlan } from './job-mix.ts'

export function checkTerminals(events: readonly ChaosEvent[]): Violation[] {
  const { plans, finals } = findingsOf(events)
  const cancelled = new Set(eventsOf(events, 'cancel').map(({ job }) => job))
  const seen = groupBy(eventsOf(events, 'seen'), ({ job }) => job)
  const found = [...checkSubmits(events)]
  for (const [job, plan] of plans) {
    const final = finals.get(job)
    if (!final) {
      found.push({ broken: 'lost', t: lastTime(events), job, what: 'it was accepted and is not there any more' })
      continue
    }
    found.push(...checkEnd(final, events))
    found.push(...checkSeen(final, seen.get(job) ?? []))
    const wrong = ENDS.has(final.status) ? wrongEnd(final, plan, cancelled.has(job)) : null
    if (wrong !== null) found.push({ broken: 'wrong', t: final.finishedAtMs ?? 0, job, what: wrong })
  }
  return found
}

/** One job for one idempotency key, and no refusal of a good body. */
function* checkSubmits(events: readonly ChaosEvent[]): Generator<Violation> {
  const jobs = new Map<string, string>()
  for (const { t, key, phase, job, status } of eventsOf(events, 'submit')) {
    if (phase === 'fail') yield { broken: 'wrong', t, what: `submit ${key} was refused with ${status}` }
    if (phase !== 'ok' || job === undefined) continue
    const first = jobs.get(key)
    if (first !== undefined && first !== job)
      yield { broken: 'doubled', t, job, what: `key ${key} made a second job beside ${first}` }
    jobs.set(key, job)
  }
}

function* checkEnd(final: FinalJob, events: readonly ChaosEvent[]): Generator<Violation> {
  const t = final.finishedAtMs ?? lastTime(events)
  if (!ENDS.has(final.status))
    yield { broken: 'lost', t, job: final.id, what: `it never ended: ${final.status}, attempt ${final.attempt}` }
  if (final.ends > 1) yield { broken: 'doubled', t, job: final.id, what: `it ended ${final.ends} times` }
}

/** Whoever saw it ended saw the end that it has. */
function* checkSeen(final: FinalJob, seen: readonly { t: number; status: string }[]): Generator<Violation> {
  let ended = false
  for (const { t, status } of seen) {
    if (ENDS.has(status) && status !== final.status)
      yield { broken: 'doubled', t, job: final.id, what: `it was ${status} and is ${final.status}` }
    if (ended && !ENDS.has(status))
      yield { broken: 'doubled', t, job: final.id, what: `it had ended and was ${status} again` }
    ended ||= ENDS.has(status)
  }
}

const LOSSES: ReadonlySet<string | undefined> = new Set(['agent_lost', 'engine_lost'])

/** Null, or why a job of this plan cannot have ended so. */
export function wrongEnd(final: FinalJob, plan: JobPlan, wasCancelled: boolean): string | null {
  const { status, error, exitCode } = final
  if (status === 'cancelled') return wasCancelled ? null : 'it was cancelled, and nobody had asked for that'
  if (status === 'completed') {
    if (plan.timesOut) return 'it completed, and it sleeps for ever'
    return plan.exit === 0 && exitCode === 0
      ? null
      : `it completed with exit code ${exitCode}; its script ends ${plan.exit}`
  }
  if (LOSSES.has(error)) return null
  if (error === 'timeout' && plan.timesOut) return null
  if (error === 'exit_nonzero' && plan.exit === 3 && exitCode === 3 && !plan.timesOut) return null
  return `it ended in error ${error}, exit code ${exitCode} (${final.message ?? ''}); its script ends ${plan.timesOut ? 'never' : plan.exit}`
}

function lastTime(events: readonly ChaosEvent[]): number {
  return events.at(-1)?.t ?? 0
}
