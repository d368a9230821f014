// Portable: Web APIs only.
//
// When a reader is through with an attempt (DESIGN 8), so that the next attempt or the terminal update may follow:
//   1. its last update, whose number N its agent told with `finish`, was read; or
//   2. a later attempt has a message in the stream, and all that precedes it was read: the fence. What the earlier one
//      stores after that message is seen by nobody; or
//   3. the row says that the attempt is over, its agent does not hold it any more, and all that is stored was read.
// In the cases 2 and 3 what is missing up to N is a gap; where the attempt was lost before it told N, up to the last update
// that its agent told to be stored.
import type { AttemptRecord, JobRecord } from '../../shared/job.ts'
import { isTerminal } from '../../shared/job.ts'
import type { Bus } from './bus-port.ts'
import type { JobKey } from './ports.ts'
import { AppError } from '../../shared/errors.ts'

export type EndBus = Pick<Bus, 'firstSeq' | 'readResume'>

/** The first attempt at or after `attempt`. Numbers may jump: a restore adds 1,000. */
export function attemptFrom(record: JobRecord, attempt: number): AttemptRecord | undefined {
  return record.attempts.filter((row) => row.attempt >= attempt).toSorted((a, b) => a.attempt - b.attempt)[0]
}

export function isOver(record: JobRecord, attempt: number): boolean {
  return isTerminal(record.state.status) || record.state.assignment?.attempt !== attempt
}

/** Nothing more comes of it: its agent has handed over everything, or is gone. */
export function isReleased(record: JobRecord, attempt: number): boolean {
  return isOver(record, attempt) && !record.heldAttempts.includes(attempt)
}

export interface ReadSoFar {
  readonly n: number
  /** Where a later attempt begins, once that is known. */
  readonly fence: number | null
}

export async function isThrough(
  bus: EndBus,
  key: JobKey,
  record: JobRecord,
  row: AttemptRecord,
  { n, fence }: ReadSoFar,
): Promise<boolean> {
  if (row.updates !== null && n >= row.updates) return true
  if (fence === null && !isReleased(record, row.attempt)) return false
  const last = await askPatiently(() => bus.readResume(row.agent, { ...key, attempt: row.attempt }))
  return n >= last.n
}

/** The bus gives up after a few seconds; a restart of NATS may take a few more, and costs no client its connection. */
export async function askPatiently<T>(question: () => Promise<T>): Promise<T> {
  try {
    return await question()
  } catch (error) {
    if (!(error instanceof AppError) || error.code !== 'unavailable') throw error
    return await question()
  }
}
