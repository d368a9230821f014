// Portable: Web APIs only.
//
// A job's row, kept fresh while the job is watched: read at each hint, after each reconnect of the bus, and every few
// seconds in case a hint was lost. Reads are never two at a time; hints during a read cause one more. When the database
// is away the last row stays: nobody can begin another attempt then, so what is known stays true.
import type { JobRecord } from '../../shared/job.ts'
import type { Bus, Clock, JobKey, JobStore } from './ports.ts'
import { sleep } from './relay-wake.ts'

export interface RowWatch {
  /** The last row that was read; null before the first, and where there is no such job. */
  current(): JobRecord | null
  /** A read that begins now. Rejects where it fails: for those who cannot go on without. */
  read(): Promise<JobRecord | null>
  /** The same, but gives up after `ms` and never rejects. */
  refresh(ms: number): Promise<void>
  /** Waits for the read under way, if a hint caused it; at most `ms`, never rejects. Nobody waits for the timer's reads. */
  settled(ms: number): Promise<void>
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
  let hinted: Promise<void> | null = null
  const begin = oneAtATime(async () => {
    record = await store.readJob(key)
    for (const callback of callbacks) callback()
  })
  // A failed read is tried again by the timer at the latest.
  const poke = (): Promise<void> => (closing.signal.aborted ? Promise.resolve() : begin().catch(noop))
  const unhint = bus.onHint(key, () => {
    const read: Promise<void> = poke().then(() => {
      if (hinted === read) hinted = null
    })
    hinted = read
  })
  let cancel = clock.after(READ_EVERY_MS, tick)
  function tick(): void {
    void poke()
    cancel = clock.after(READ_EVERY_MS, tick)
  }
  const within = async (ms: number, work: Promise<void>): Promise<void> => {
    const enough = new AbortController()
    await Promise.race([work.catch(noop), sleep(clock, ms, AbortSignal.any([enough.signal, closing.signal]))])
    enough.abort()
  }
  return {
    current: () => record,
    async read() {
      await begin()
      return record
    },
    refresh: (ms) => within(ms, begin()),
    settled: (ms) => (hinted ? within(ms, hinted) : Promise.resolve()),
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
