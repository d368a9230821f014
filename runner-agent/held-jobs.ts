// The attempts that this process holds, and what the control plane's answers make of them. An answer is about the beat
// that asked: an attempt that began after it is not meant by it. What is wanted and not held is started, what is held and
// cancelled is stopped, what does not count is dropped, and what nobody confirmed for lost_after is stopped.
import type { HeartbeatAnswer, HeldAttempt, RunCommand, WantedAttempt } from '../shared/agent-protocol.ts'
import type { AttemptKey } from '../shared/subjects.ts'
import type { JobRun, JobStart, RunEnd } from './job-run.ts'
import type { Writable } from '../shared/writable.ts'

export interface HeldJobs {
  held(): HeldAttempt[]
  /** A command from NATS: it only says "claim this", and may be repeated, late or forged. */
  command(command: RunCommand): void
  adopt(start: JobStart): void
  /** `askedAt`: by the boot clock, when the beat was built. What it lists was renewed after that, however late the answer is. */
  apply(answer: HeartbeatAnswer, listed: readonly HeldAttempt[], askedAt: number): void
  /** Stops what has not been renewed for its lost_after; to be called about once a second. */
  checkRenewals(): void
  /** No new work from now on. */
  refuseNew(): void
  readonly accepting: boolean
  count(): number
  /** Settles when nothing is held, or when the signal aborts. */
  idle(signal: AbortSignal): Promise<void>
  /** Lets go of all containers and leaves them as they are. */
  detachAll(): Promise<void>
}

export interface HeldJobsOptions {
  readonly start: (start: JobStart) => JobRun
  /** Counts suspends of the machine: a container must not outlive a lease that was slept through. */
  readonly bootSeconds: () => number
  readonly poke: () => void
}

interface Entry {
  readonly run: JobRun
  renewedAt: number
}

const GRACE_SECONDS = 10

export function createHeldJobs(options: HeldJobsOptions): HeldJobs {
  const registry = createRegistry(options)
  let leaseSeconds = 0

  const applyOne = (wanted: WantedAttempt, listed: HeldAttempt | undefined, askedAt: number): void => {
    const entry = registry.get(wanted)
    if (!entry) {
      if (jobs.accepting && wanted.want === 'run') registry.begin({ key: keyOf(wanted), image: wanted.image })
      return
    }
    if (wanted.want === 'stop') {
      if (mayStop(entry.run, listed)) entry.run.control.drop()
      return
    }
    entry.renewedAt = Math.max(entry.renewedAt, askedAt)
    if (wanted.want === 'cancel') entry.run.control.end('cancelled', wanted.grace_seconds ?? GRACE_SECONDS)
  }

  const jobs: Writable<HeldJobs> = {
    held: () => registry.all().map(({ run }) => run.held()),
    command(command) {
      // Of one that is held already it says that there is news (a cancel): the next beat brings it.
      if (registry.get(command)) options.poke()
      else if (jobs.accepting) registry.begin({ key: keyOf(command), image: command.image ?? undefined })
    },
    adopt: (start) => registry.begin(start),
    apply(answer, listed, askedAt) {
      leaseSeconds = answer.lease_seconds
      const asked = new Map(listed.map((attempt) => [idOf(attempt), attempt]))
      for (const wanted of answer.attempts) applyOne(wanted, asked.get(idOf(wanted)), askedAt)
    },
    checkRenewals: () => stopUnrenewed(registry.all(), options.bootSeconds(), leaseSeconds),
    refuseNew() {
      jobs.accepting = false
    },
    accepting: true,
    count: () => registry.all().length,
    idle: (signal) => registry.idle(signal),
    async detachAll() {
      const runs = registry.all().map(({ run }) => run)
      for (const run of runs) run.control.detach()
      await Promise.allSettled(runs.map(({ done }) => done))
    },
  }
  return jobs
}

/** Beats come each third of a lease, so a shorter lost_after would end jobs that nothing is wrong with. */
function stopUnrenewed(entries: readonly Entry[], nowSeconds: number, leaseSeconds: number): void {
  for (const { run, renewedAt } of entries)
    if (nowSeconds - renewedAt > Math.max(run.lostAfterSeconds(), leaseSeconds) && run.held().phase !== 'finished')
      run.control.end('lost', GRACE_SECONDS)
}

interface Registry {
  get(key: AttemptKey): Entry | undefined
  all(): Entry[]
  begin(start: JobStart): void
  idle(signal: AbortSignal): Promise<void>
}

/** Attempts that ended here are not begun again by a late command. */
const REMEMBERED = 2_000

function createRegistry(options: HeldJobsOptions): Registry {
  const entries = new Map<string, Entry>()
  const ended = new Set<string>()
  const idleWaiters = new Set<() => void>()

  const forget = (id: string, how: RunEnd): void => {
    entries.delete(id)
    // One that was never ours may be assigned to us again, under the same number.
    if (how !== 'unclaimed') ended.add(id)
    for (const old of ended) {
      if (ended.size <= REMEMBERED) break
      ended.delete(old)
    }
    options.poke()
    if (entries.size === 0) for (const wake of idleWaiters) wake()
  }
  const begin = (start: JobStart): void => {
    const id = idOf(start.key)
    if (entries.has(id) || ended.has(id)) return
    const run = options.start(start)
    entries.set(id, { run, renewedAt: options.bootSeconds() })
    // A run settles whatever happens, and only then is its place free.
    void run.done.then((how) => {
      if (how !== 'again' || !start.found) return forget(id, how)
      entries.delete(id)
      // Its end may have been told already: said to run again, it would not count any more.
      const hasEnded = run.held().phase === 'finished'
      begin(hasEnded ? { ...start, found: { ...start.found, state: 'exited' } } : start)
    })
  }
  return {
    get: (key) => entries.get(idOf(key)),
    all: () => [...entries.values()],
    begin,
    idle: (signal) => waitIdle(() => entries.size === 0, idleWaiters, signal),
  }
}

/** A finish that overtakes its beat makes the answer speak of an attempt that was still running when it was asked. */
function mayStop(run: JobRun, listed: HeldAttempt | undefined): boolean {
  if (!listed) return false
  return run.held().phase !== 'finished' || listed.phase === 'finished'
}

function waitIdle(isIdle: () => boolean, waiters: Set<() => void>, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const finish = (): void => {
      waiters.delete(finish)
      signal.removeEventListener('abort', finish)
      resolve()
    }
    if (isIdle() || signal.aborted) return resolve()
    waiters.add(finish)
    signal.addEventListener('abort', finish, { once: true })
  })
}

function keyOf({ tenant, job, attempt }: AttemptKey): AttemptKey {
  return { tenant, job, attempt }
}

function idOf({ tenant, job, attempt }: AttemptKey): string {
  return `${tenant}/${job}/${attempt}`
}
