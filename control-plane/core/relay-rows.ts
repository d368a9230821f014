// Portable: Web APIs only.
//
// A job's row, kept fresh while the job is watched: read at each hint, after each reconnect of the bus, and every few
// seconds in case a hint was lost. Reads are never two at a time; hints during a read cause one more. When the database
// is away the last row stays. Whether it still proves anything is known here, too: it is old some time after the read of
// it began, by either clock (a machine that was suspended, a clock that was set), and at once when a hint has come since.
import { backoffMs } from '../../shared/backoff.ts'
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
/** After a read that failed: the hint that caused it does not come again, and clients wait. */
const RETRY = { firstMs: 250, maxMs: READ_EVERY_MS }

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
  const poke = readAgainAndAgain(begin, clock, closing.signal)
  const unhint = bus.onHint(key, () => {
    hints += 1
    poke()
  })
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
      callbacks.clear()
    },
  }
}

/** Returns what reads at once. Each read sets the time of the next one, until the signal aborts. */
function readAgainAndAgain(read: () => Promise<void>, clock: Clock, signal: AbortSignal): () => void {
  let failures = 0
  const poke = (): void => {
    if (signal.aborted) return
    const failed = (): void => {
      failures += 1
      readIn(backoffMs(failures - 1, RETRY, 1))
    }
    void read().then(() => {
      failures = 0
      readIn(READ_EVERY_MS)
    }, failed)
  }
  const readIn = (ms: number): void => {
    cancel()
    if (!signal.aborted) cancel = clock.after(ms, poke)
  }
  let cancel = clock.after(READ_EVERY_MS, poke)
  signal.addEventListener('abort', () => cancel(), { once: true })
  return poke
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
