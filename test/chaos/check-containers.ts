// Promise 4, second half: no container outlives its attempt by more than its lost_after and a slack, and none is left at
// the end. By the engines' own word, asked each second. Pure.

import { eventsOf, findingsOf, type Violation } from './check-input.ts'
import type { ChaosEvent, FinalJob } from './history.ts'

/** For a lease, for an agent that is started again, for a stop's grace and for the second between two looks. */
const SLACK_MS = 12_000

export function checkContainers(events: readonly ChaosEvent[], slackMs = SLACK_MS): Violation[] {
  const { plans, finals } = findingsOf(events)
  const found = new Map<string, Violation>()
  for (const { t, engine, containers } of eventsOf(events, 'running'))
    for (const { job, attempt } of containers) {
      const final = finals.get(job)
      const over = final ? endOfAttempt(final, attempt) : null
      const allowedMs = (plans.get(job)?.lostAfterSeconds ?? 0) * 1_000 + slackMs
      if (over === null || t - over <= allowedMs) continue
      const what = `attempt ${attempt} still ran on ${engine} ${((t - over) / 1_000).toFixed(1)} s after it was over; allowed are ${allowedMs / 1_000} s`
      found.set(`${job}/${attempt}`, { broken: 'orphan_containers', t, job, what })
    }
  const left = eventsOf(events, 'left').map(({ t, where, what }): Violation => ({
    broken: 'orphan_containers',
    t,
    what: `${what} is left on ${where} at the end`,
  }))
  return [...found.values(), ...left]
}

/** Longest time that a container was seen beyond its attempt. */
export function longestOutliving(events: readonly ChaosEvent[]): number {
  const { finals } = findingsOf(events)
  let longest = 0
  for (const { t, containers } of eventsOf(events, 'running'))
    for (const { job, attempt } of containers) {
      const final = finals.get(job)
      const over = final ? endOfAttempt(final, attempt) : null
      if (over !== null) longest = Math.max(longest, t - over)
    }
  return longest
}

/** When the attempt did not count any more: its job ended, or the next one was claimed. */
function endOfAttempt(final: FinalJob, attempt: number): number | null {
  const next = final.attempts.filter((row) => row.attempt > attempt).map(({ claimedAtMs }) => claimedAtMs)
  return next.length > 0 ? Math.min(...next) : final.finishedAtMs
}
