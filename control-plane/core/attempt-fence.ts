// Portable: Web APIs only.
//
// The fence (DESIGN 4, PROTOCOL 5): of an attempt only what precedes the first message of a later one counts, for everybody
// and for ever. Which attempts there are is in the row, and the row that a reader has may be old: hints get lost, and the
// database may be slow or away. So the stream itself is asked whether a later attempt has a message, unless the row proves
// that nobody can have begun one. The database is waited for in two cases only:
//   - the stream has messages of a later attempt that the row does not know. They may be junk of some agent;
//   - messages that this reader has not seen have left the stream. One of them may have been a later attempt's first.
// Only a newer row can tell.
import { isTerminal, type AttemptRecord, type JobRecord } from '../../shared/job.ts'
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

/** What is known of where later attempts begin. */
export interface Fence {
  /** Stream sequence at which a later attempt's first message cuts this one off; null where none is known. */
  readonly fence: number | null
  /** Up to this stream sequence no later attempt has a message, nor had one. */
  readonly clearSeq: number
}

const READ_AGAIN_MS = 250

export function hasLater(record: JobRecord | null, attempt: number): boolean {
  return record !== null && attemptFrom(record, attempt + 1) !== undefined
}

/**
 * A `fence` of null: all messages that came before this was asked precede every later attempt. What was found once stays:
 * a later attempt that is found afterwards began later. `hasNews`: messages wait for the answer.
 */
export async function findFence(
  deps: FenceDeps,
  { attempt, clearSeq, hasNews }: { readonly attempt: number; readonly clearSeq: number; readonly hasNews: boolean },
  signal: AbortSignal,
): Promise<Fence> {
  const { bus, key, rows } = deps
  const known = rows.current()
  if (known !== null && isTerminal(known.state.status)) return { fence: await firstOfLater(deps, attempt), clearSeq }
  const stored = await askPatiently(() => bus.storedAttempts(key))
  const later = stored.attempts.filter((one) => one.attempt > attempt)
  const isWhole = stored.streamFirstSeq <= clearSeq + 1
  if (later.length === 0 && isWhole && !mustStoreAgain(known, attempt))
    return { fence: null, clearSeq: stored.streamLastSeq }
  if (later.length === 0 && !hasNews) return { fence: null, clearSeq }
  if (later.length === 0 || !later.every((one) => knows(rows.current(), one))) await readAnew(deps, signal)
  let fence = await firstOfLater(deps, attempt)
  while (fence === null && mustStoreAgain(rows.current(), attempt) && !signal.aborted) {
    await sleep(deps.clock, READ_AGAIN_MS, signal)
    await readAnew(deps, signal)
    fence = await firstOfLater(deps, attempt)
  }
  return { fence, clearSeq: hasLater(rows.current(), attempt) ? clearSeq : stored.streamLastSeq }
}

async function firstOfLater({ bus, key, rows }: FenceDeps, attempt: number): Promise<number | null> {
  const later = rows.current()?.attempts.filter((row) => row.attempt > attempt) ?? []
  const firstOf = ({ agent, attempt: number }: AttemptRecord): Promise<number | null> =>
    askPatiently(() => bus.firstSeq(agent, { ...key, attempt: number }))
  const firsts = (await Promise.all(later.map(firstOf))).filter((first) => first !== null)
  return firsts.length > 0 ? Math.min(...firsts) : null
}

/** A later attempt runs, so its first message was stored: where the stream lost it, its agent soon says where it stood. */
function mustStoreAgain(record: JobRecord | null, attempt: number): boolean {
  return record?.state.status === 'running' && (record.state.assignment?.attempt ?? 0) > attempt
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
