// Portable: Web APIs only.
//
// Attempts count up by one, except where a backup became the database: there the numbers that may have been used since
// the backup are skipped (DESIGN 5). What those attempts said, nobody can find any more: to a client that is a gap.
import { isTerminal, type AttemptRecord, type JobRecord } from '../../shared/job.ts'
import { seqOf, terminalSeq } from '../../shared/position.ts'

/** What is missing between `position` and the attempt `row`, or the terminal update where there is no row any more. */
export function skippedBefore(
  record: JobRecord,
  position: number,
  row: AttemptRecord | undefined,
): { readonly from: number; readonly to: number } | null {
  const { status, attempt, finishedBy } = record.state
  // An attempt that lived through the restore and told its end was the last one: nothing came after it.
  if (!row && (!isTerminal(status) || finishedBy !== null)) return null
  const from = Math.max(position + 1, seqOf(1, 1))
  const to = (row ? seqOf(row.attempt, 0) : terminalSeq(attempt)) - 1
  return from <= to ? { from, to } : null
}
