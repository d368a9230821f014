// Portable: Web APIs only.
//
// A fence that the stream has lost: by the row a later attempt has spoken, and no message of it is there. While its agent
// holds it, it stores its first message anew and says where that stood. After that only the order is left in which a
// stream loses messages: the oldest go first. So where an attempt's own beginning has gone, too, the rest of it was
// stored behind all that has gone, the fence included. (A stream that was put back to an earlier state loses the newest.)
import type { AttemptRecord, JobRecord } from '../../shared/job.ts'
import { askPatiently, isReleased } from './attempt-end.ts'
import type { Bus } from './bus-port.ts'
import type { JobKey } from './ports.ts'

export function laterRows(record: JobRecord | null, attempt: number): readonly AttemptRecord[] {
  return record?.attempts.filter((row) => row.attempt > attempt) ?? []
}

/** Those of the later attempts of which the stream has, or had, a message. */
export function spokenRows(record: JobRecord | null, attempt: number): readonly AttemptRecord[] {
  return laterRows(record, attempt).filter((row) => record !== null && hasSpoken(record, row))
}

function hasSpoken(record: JobRecord, row: AttemptRecord): boolean {
  const runs = record.state.status === 'running' && record.state.assignment?.attempt === row.attempt
  // A later attempt's container starts only once its first update is stored.
  if (runs || row.startedAtMs !== null) return true
  // Its agent lets go of it when everything is stored.
  return isReleased(record, row.attempt) && (row.updates ?? row.told ?? 0) > 0
}

/** Whether the attempt's own first message was stored before the first one that the stream has now. */
export async function beganBefore(
  bus: Pick<Bus, 'firstSeq' | 'storedAttempts'>,
  key: JobKey,
  record: JobRecord,
  attempt: number,
): Promise<boolean> {
  const row = record.attempts.find((one) => one.attempt === attempt)
  if (!row) return false
  const first = await askPatiently(() => bus.firstSeq(row.agent, { ...key, attempt }))
  if (first === null) return false
  const { streamFirstSeq } = await askPatiently(() => bus.storedAttempts(key))
  return first < streamFirstSeq
}
