// Portable: Web APIs only.
//
// The fence (DESIGN 4, PROTOCOL 5): of an attempt only what precedes the first message of a later one counts, for everybody
// and for ever. Which attempts there are is in the row, and the row that a reader has may be old: hints get lost, and the
// database may be slow or away. So the stream itself is asked whether a later attempt has a message, unless the row proves
// that nobody can have begun one. The database is waited for in one case only: the stream has messages of a later attempt
// that the row does not know. They may be junk of some agent, and only a newer row can tell.
import { isTerminal, type JobRecord } from '../../shared/job.ts'
import { askPatiently, attemptFrom } from './attempt-end.ts'
import type { StoredAttempt } from '../../shared/subjects.ts'
import type { Bus } from './bus-port.ts'
import type { Clock, JobKey } from './ports.ts'
import type { RowWatch } from './relay-rows.ts'
import { sleep } from './relay-wake.ts'

export interface FenceDeps {
  readonly key: JobKey
  readonly rows: RowWatch
  readonly bus: Pick<Bus, 'firstSeq' | 'storedAttempts'>
  readonly clock: Clock
}

const READ_AGAIN_MS = 250

export function hasLater(record: JobRecord | null, attempt: number): boolean {
  return record !== null && attemptFrom(record, attempt + 1) !== undefined
}

/**
 * Stream sequence at which a later attempt's first message cuts this one off; null where all messages that came before this
 * was asked precede every later attempt. What was found once stays: a later attempt that is found afterwards began later.
 */
export async function findFence(deps: FenceDeps, attempt: number, signal: AbortSignal): Promise<number | null> {
  const { bus, key, rows } = deps
  const known = rows.current()
  const isComplete = known !== null && isTerminal(known.state.status)
  if (!isComplete) {
    const stored = await askPatiently(() => bus.storedAttempts(key))
    const later = stored.filter((one) => one.attempt > attempt)
    if (later.length === 0) return null
    if (!later.every((one) => knows(rows.current(), one))) await readAnew(deps, signal)
  }
  const rowsOfLater = rows.current()?.attempts.filter((row) => row.attempt > attempt) ?? []
  const firsts = await Promise.all(
    rowsOfLater.map((row) => askPatiently(() => bus.firstSeq(row.agent, { ...key, attempt: row.attempt }))),
  )
  return firsts.reduce((least, first) => (first !== null && (least === null || first < least) ? first : least), null)
}

function knows(record: JobRecord | null, { agent, attempt }: StoredAttempt): boolean {
  return record !== null && record.attempts.some((row) => row.attempt === attempt && row.agent === agent)
}

/** Until the database answers, or nobody waits any more. */
async function readAnew({ rows, clock }: FenceDeps, signal: AbortSignal): Promise<void> {
  while (!signal.aborted) {
    try {
      await rows.read()
      return
    } catch {
      // It is away: what is held back until it is there again is not lost.
      await sleep(clock, READ_AGAIN_MS, signal)
    }
  }
}
