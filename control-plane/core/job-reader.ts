// Portable: Web APIs only.
//
// Everything a job said behind a cursor, as frames: one attempt after the other, then the terminal update, then the end.
// One position, (attempt, n), decides what comes next; a reader that was lost is simply begun again at its position.
// Waits without end while the job is alive and silent. State frames are not its business.
import { isTerminal } from '../../shared/job.ts'
import { attemptOf, nOf, seqOf } from '../../shared/position.ts'
import { attemptFrom } from './attempt-end.ts'
import { readAttempt, type ReadChunk, type ReaderDeps } from './attempt-reader.ts'
import { gapFrame, terminalFrame } from './relay-frames.ts'
import { createWake } from './relay-wake.ts'
import { skippedBefore } from './skipped-attempts.ts'

/** `rows` must have been read once. Returns after the terminal update, or when `signal` aborts; throws as the bus does. */
export async function* readJob(deps: ReaderDeps, after: number, signal: AbortSignal): AsyncGenerator<ReadChunk, void> {
  const { rows } = deps
  let attempt = attemptOf(after)
  let n = nOf(after)
  const wake = createWake()
  const unwatch = rows.onRead(wake.fire)
  try {
    while (!signal.aborted) {
      const record = rows.current()
      const row = record ? attemptFrom(record, attempt) : undefined
      const skipped = record ? skippedBefore(record, seqOf(attempt, n), row) : null
      if (skipped) yield { frames: [gapFrame(skipped.from, skipped.to)], atEdge: false }
      if (row) {
        yield* readAttempt(deps, row, row.attempt === attempt ? n : 0, signal)
        attempt = row.attempt + 1
        n = 0
      } else if (record && isTerminal(record.state.status)) {
        yield { frames: [terminalFrame(record)], atEdge: true }
        return
      } else {
        yield { frames: [], atEdge: true }
        await wake.wait(signal)
      }
    }
  } finally {
    unwatch()
  }
}
