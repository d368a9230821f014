// Portable: Web APIs only.
//
// A job's row, kept fresh while the job is watched: read at each hint, after each reconnect of the bus, and every few
// seconds in case a hint was lost. Reads are never two at a time; hints during a read cause one more. When the database
// is away the last row stays. Whether it still proves anything is known here, too: it is old some time after the read of
// it began, by either clock (a machine that was suspended, a clock that was set), and at once when a hint has come since.
import { isTerminal, type JobRecord } from '../../shared/job.ts'
import type { Bus } from './bus-port.ts'
import type { Clock, JobKey, JobStore } from './ports.ts'
import { SURE_MS } from './sure-term.ts'

export interface RowWatch {
  /** The last row that was read; null before the first, and where there is no such job. */
  current(): JobRecord | null
  /** A read that begins now. Rejects where it fails: for those who cannot go on without. */
  read(): Promise<JobRecord | null>
  /** Whether nobody can have begun a later attempt than this one up to now. */
  isSure(attempt: number): boolean
  /** Calls back after each read. */
  onRead(callback: () => void): () => void
  close(): void
}

export interface RowWatchDeps {
  readonly store: Pick<JobStore, 'readJob'>
  readonly bus: Pick<Bus, 'onHint'>
  readonly clock: Clock
}

const READ_EVERY_MS = 3_000

export function watchRow({ store, bus, clock }: RowWatchDeps, key: JobKey): RowWatch {
  const closing = new AbortController()
  const callbacks = new Set<() => void>()
  let record: JobRecord | null = null
  let hints = 0
  let seen = { hints, beganMs: 0, wallMs: 0 }
  const begin = oneAtATime(async () => {
    const begun = { hints, beganMs: performance.now(), wallMs: clock.nowMs() }
    record = await store.readJob(key)
    seen = begun
    for (const callback of callbacks) callback()
  })
  const ageMs = (): number => Math.max(performance.now() - seen.beganMs, Math.abs(clock.nowMs() - seen.wallMs))
  // A failed read is tried again by the timer at the latest.
  const poke = (): Promise<void> => (closing.signal.aborted ? Promise.resolve() : begin().catch(noop))
  const unhint = bus.onHint(key, () => {
    hints += 1
    void poke()
  })
  let cancel = clock.after(READ_EVERY_MS, tick)
  function tick(): void {
    void poke()
    cancel = clock.after(READ_EVERY_MS, tick)
  }
  return {
    current: () => record,
    async read() {
      await begin()
      return record
    },
    isSure(attempt) {
      if (!record || seen.hints !== hints) return false
      const { state, leaseLeftMs } = record
      if (isTerminal(state.status)) return true
      const isHeld = state.assignment?.attempt === attempt && state.phase !== 'reconnecting'
      return isHeld && ageMs() < Math.min(leaseLeftMs ?? 0, SURE_MS)
    },
    onRead(callback) {
      callbacks.add(callback)
      return () => void callbacks.delete(callback)
    },
    close() {
      closing.abort()
      unhint()
      cancel()
      callbacks.clear()
    },
  }
}

/** Each call is answered by a run that begins now, or after the one that is under way. */
function oneAtATime(run: () => Promise<void>): () => Promise<void> {
  let running: Promise<void> | null = null
  let next: Promise<void> | null = null
  const begin = (): Promise<void> => {
    if (running) return (next ??= running.catch(noop).then(begin))
    next = null
    running = run().finally(() => {
      running = null
    })
    return running
  }
  return begin
}

const noop = (): void => undefined
