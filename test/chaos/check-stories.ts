// Promises 2 and 3, as clients see them: each update once and in order from the cursor, a hole only where a `gap` says so,
// a gap only where the NATS store was made to forget, the lines of a job whole and in order inside, attempts never mixed,
// and everybody saw the same story. Pure.

import { seqOf } from '../../shared/position.ts'
import { eventsOf, findingsOf, groupBy, type EventOf, type Findings, type Violation } from './check-input.ts'
import { createStoryReader, type StoryReader } from './check-story-reader.ts'
import { FORGETTING } from './faults-forgetting.ts'
import type { ChaosEvent } from './history.ts'
import { keepsFromPublishing, longestOutage } from './outages.ts'
import type { StoryRun } from './story-runs.ts'

export function checkStories(events: readonly ChaosEvent[]): Violation[] {
  const findings = findingsOf(events)
  const clients = groupBy(
    events.filter((event): event is EventOf<'open' | 'story' | 'close'> => CLIENT_OPS.has(event.op)),
    ({ client }) => client,
  )
  const found: Violation[] = []
  const readers = new Map<string, StoryReader>()
  for (const [client, own] of clients) {
    const reader = readAll(client, own, findings)
    readers.set(client, reader)
    found.push(...reader.violations)
  }
  for (const [client, reader] of readers) {
    const whole = readers.get(`final.${reader.job}`)
    if (whole && whole !== reader) found.push(...checkAgreement(client, reader, whole, findings))
    if (whole === reader) found.push(...checkWhole(reader, findings))
  }
  return found
}

const CLIENT_OPS: ReadonlySet<string> = new Set(['open', 'story', 'close'])
/** 0: the client broke off. 1006: the server died. */
const GOOD_CODES: ReadonlySet<number> = new Set([0, 1000, 1001, 1006, 1013, 4408])

function readAll(
  client: string,
  events: readonly EventOf<'open' | 'story' | 'close'>[],
  findings: Findings,
): StoryReader {
  const job = events[0]?.job ?? ''
  const reader = createStoryReader(client, job, (attempt, t) => isExplained(findings, job, attempt, t))
  for (const event of events) {
    if (event.op === 'story') for (const run of event.runs) reader.read(run, event.t)
    if (event.op === 'close' && !GOOD_CODES.has(event.code))
      reader.violations.push({
        broken: 'wrong',
        t: event.t,
        job,
        what: `${client}: its stream was closed ${event.code}`,
      })
  }
  return reader
}

/**
 * The store was made to forget after the attempt began and before this was read; or what keeps an agent from publishing
 * lasted, all in all without a break, for longer than the job waits: then it goes on without what was still to come.
 */
function isExplained(findings: Findings, job: string, attempt: number, t: number): boolean {
  const { finals, faults, plans } = findings
  const claimedAtMs = finals.get(job)?.attempts.find((row) => row.attempt === attempt)?.claimedAtMs
  if (claimedAtMs === undefined) return false
  const since = faults.filter(({ beginMs, endMs }) => endMs >= claimedAtMs && beginMs <= t)
  if (since.some(({ kind }) => FORGETTING.has(kind))) return true
  const lostAfterMs = (plans.get(job)?.lostAfterSeconds ?? Number.POSITIVE_INFINITY) * 1_000
  return longestOutage(since.filter(keepsFromPublishing)) > lostAfterMs
}

/**
 * Nobody knows how much a lost attempt had said (DESIGN 8: N is unknown), so a store that was made to forget it takes it
 * away without a gap.
 */
function isUntold(findings: Findings, job: string, attempt: number): boolean {
  const final = findings.finals.get(job)
  const wasLost = final !== undefined && (attempt < final.attempt || final.error === 'agent_lost')
  return wasLost && isExplained(findings, job, attempt, Number.POSITIVE_INFINITY)
}

/** What a client saw is in the whole story at the same place, or the whole story says that it is gone. */
function* checkAgreement(
  client: string,
  reader: StoryReader,
  whole: StoryReader,
  findings: Findings,
): Generator<Violation> {
  for (const { run, t } of reader.updates) {
    const missing = uncovered(run, whole)
    if (missing !== null && !isUntold(findings, reader.job, run.attempt)) {
      const later = whole.lastAttempt > run.attempt
      yield {
        broken: later ? 'stale_accepted' : 'gaps',
        t,
        job: reader.job,
        what: `${client} saw seq ${seqOf(run.attempt, missing)} (attempt ${run.attempt}, n ${missing}), which the whole story neither has nor calls a gap`,
      }
    }
    const other = run.line === undefined ? null : whole.lineAt(run.attempt, run.from)
    if (other !== null && other !== run.line)
      yield {
        broken: 'doubled',
        t,
        job: reader.job,
        what: `${client} saw line ${run.line} at n ${run.from} of attempt ${run.attempt}; the whole story has line ${other} there`,
      }
  }
}

/** The first n of the run that the whole story does not account for. */
function uncovered(run: Extract<StoryRun, { kind: 'updates' }>, whole: StoryReader): number | null {
  let n = run.from
  for (const [from, to] of whole.coverage(run.attempt)) {
    if (to < n) continue
    if (from > n) return n
    n = to + 1
    if (n > run.to) return null
  }
  return n <= run.to ? n : null
}

/** The read at the end: it has the terminal update, and all lines of a job whose script ran to its end. */
function* checkWhole(reader: StoryReader, { plans, finals }: Findings): Generator<Violation> {
  const { job, end } = reader
  const final = finals.get(job)
  const plan = plans.get(job)
  if (!final || !plan || final.finishedAtMs === null) return
  const t = final.finishedAtMs
  if (!end) {
    yield { broken: 'lost', t, job, what: 'its story has no terminal update' }
    return
  }
  if (end.status !== final.status || end.attempt !== final.attempt)
    yield {
      broken: 'doubled',
      t,
      job,
      what: `its story ends ${end.status}, attempt ${end.attempt}; its row ${final.status}, ${final.attempt}`,
    }
  const ranToItsEnd = final.status === 'completed' || final.error === 'exit_nonzero'
  if (!ranToItsEnd || reader.forgot(final.attempt)) return
  for (const [stream, lines] of [
    ['out', plan.lines],
    ['err', plan.errLines],
  ] as const) {
    const got = reader.linesOf(final.attempt, stream)
    if (got !== lines)
      yield {
        broken: 'gaps',
        t,
        job,
        what: `attempt ${final.attempt} ends at line ${got} of ${lines} on std${stream}, and no gap says so`,
      }
  }
}

export function countGaps(events: readonly ChaosEvent[]): number {
  return eventsOf(events, 'story').reduce((sum, { runs }) => sum + runs.filter(({ kind }) => kind === 'gap').length, 0)
}
