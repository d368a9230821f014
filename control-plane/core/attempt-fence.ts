// Portable: Web APIs only.
//
// The fence (DESIGN 4, PROTOCOL 5): of an attempt only what precedes the first message of a later one counts, for everybody
// and for ever. Which attempts there are is in the row, and the row that a reader has may be old: hints get lost, and the
// database may be slow or away. So the stream itself is asked whether a later attempt has a message, unless the row proves
// that nobody can have begun one. The database is waited for in two cases only:
//   - the stream has messages of a later attempt that the row does not know. They may be junk of some agent;
//   - messages that this reader has not seen have left the stream. One of them may have been a later attempt's first.
// Only a newer row can tell. What it says of a fence that the stream has lost is in lost-fence.ts.
import { isTerminal, type JobRecord } from '../../shared/job.ts'
import type { StoredAttempt } from '../../shared/subjects.ts'
import { askPatiently, attemptFrom, isReleased } from './attempt-end.ts'
import type { Bus } from './bus-port.ts'
import { beganBefore, laterRows, spokenRows } from './lost-fence.ts'
import type { Clock, JobKey } from './ports.ts'
import type { RowWatch } from './relay-rows.ts'
import { sleep } from './relay-wake.ts'

export interface FenceDeps {
  readonly key: JobKey
  readonly rows: RowWatch
  readonly bus: Pick<Bus, 'firstSeq' | 'storedAttempts'>
  readonly clock: Clock
}

/** What is known of where later attempts begin. */
export interface Fence {
  /** Stream sequence at which a later attempt's first message cuts this one off; null where none is known. */
  readonly fence: number | null
  /** Up to this stream sequence no later attempt has a message, nor had one. */
  readonly clearSeq: number
}

export interface FenceQuestion {
  readonly attempt: number
  readonly clearSeq: number
  /** Messages wait for the answer. */
  readonly hasNews: boolean
}

const READ_AGAIN_MS = 250

export function hasLater(record: JobRecord | null, attempt: number): boolean {
  return record !== null && attemptFrom(record, attempt + 1) !== undefined
}

/**
 * A `fence` of null: all messages that came before this was asked precede every later attempt. What was found once stays:
 * a later attempt that is found afterwards began later.
 */
export async function findFence(deps: FenceDeps, question: FenceQuestion, signal: AbortSignal): Promise<Fence> {
  const { bus, key, rows } = deps
  const { attempt, clearSeq, hasNews } = question
  const known = rows.current()
  if (known !== null && isTerminal(known.state.status))
    return { fence: await fenceByRow(deps, question, signal), clearSeq }
  const stored = await askPatiently(() => bus.storedAttempts(key))
  const later = stored.attempts.filter((one) => one.attempt > attempt)
  if (later.length === 0) {
    const isWhole = stored.streamFirstSeq <= clearSeq + 1
    if (isWhole && spokenRows(known, attempt).length === 0) return { fence: null, clearSeq: stored.streamLastSeq }
    if (!hasNews) return { fence: null, clearSeq }
  }
  if (later.length === 0 || !later.every((one) => knows(rows.current(), one))) await readAnew(deps, signal)
  const fence = await fenceByRow(deps, question, signal)
  return { fence, clearSeq: hasLater(rows.current(), attempt) ? clearSeq : stored.streamLastSeq }
}

/** Waits where the first message of a later attempt is gone, and its agent will store it anew. */
async function fenceByRow(
  deps: FenceDeps,
  { attempt, hasNews }: FenceQuestion,
  signal: AbortSignal,
): Promise<number | null> {
  const { bus, key, rows } = deps
  for (;;) {
    const record = rows.current()
    const later = laterRows(record, attempt)
    const firsts = await Promise.all(
      later.map((row) => askPatiently(() => bus.firstSeq(row.agent, { ...key, attempt: row.attempt }))),
    )
    const first = leastOf(firsts)
    const lost = spokenRows(record, attempt).filter((row) => firsts[later.indexOf(row)] === null)
    if (!record || lost.length === 0 || !hasNews || signal.aborted) return first
    if (first !== null || lost.every((row) => isReleased(record, row.attempt)))
      return (await beganBefore(bus, key, record, attempt)) ? 1 : first
    await sleep(deps.clock, READ_AGAIN_MS, signal)
    await readAnew(deps, signal)
  }
}

function leastOf(seqs: readonly (number | null)[]): number | null {
  return seqs.reduce((least, seq) => (seq !== null && (least === null || seq < least) ? seq : least), null)
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
