// Portable: Web APIs only.
//
// A NATS connection that is dialled for ever. Both sides use it: it is up or down, says why it is down, and tells its
// watchers of each change. nats.js reconnects by itself once it was connected; this adds what it lacks: a first dial
// that may fail as often as it likes and can be stopped, a check of the server before it counts as up, and a new dial
// when the client gave up for good. It knows nothing of NATS but the few members below, so shared/ needs no package.
import { backoffMs } from './backoff.ts'
import { pause } from './pause.ts'

/** What is used of a NATS connection. */
export interface Linkable {
  status(): AsyncIterable<{ readonly type: string; readonly error?: unknown }>
  closed(): Promise<unknown>
  close(): Promise<void>
}

export interface LinkWatcher {
  /** At each connect and reconnect: what the server forgot has to be said again. */
  readonly up?: () => void
  /** Requests in flight will not be answered any more. */
  readonly down?: () => void
}

export interface LinkOptions<C> {
  /** One try; rejects when it failed. */
  readonly dial: () => Promise<C>
  /** After each connect: null, or why this server cannot be used. It is then left alone for a while. */
  readonly refuse?: (connection: C) => string | null
  /** Errors that the server or the client reported beside the way. */
  readonly onError?: (error: unknown) => void
}

export interface Link<C> {
  /** Null while it is down. */
  current(): C | null
  /** Resolves as soon as it is up; rejects with the signal's reason. */
  ready(signal: AbortSignal): Promise<C>
  /** Null while it is up, else what is wrong. */
  problem(): string | null
  watch(watcher: LinkWatcher): () => void
  close(): Promise<void>
}

/** Options of nats.js, the same on both sides: notice a half-open link in 15 s, never give up, also after two auth errors. */
export const NEVER_GIVE_UP = {
  maxReconnectAttempts: -1,
  pingInterval: 5_000,
  maxPingOut: 2,
  timeout: 5_000,
  ignoreAuthErrorAbort: true,
  waitOnFirstConnect: false,
} as const

const REDIAL = { leastMs: 100, jitterMs: 100 }

/** Beside NEVER_GIVE_UP, for one connection: how long it waits between two dials. */
export function redialPace() {
  let dialledMs = Number.NEGATIVE_INFINITY
  return {
    // nats.js itself counts this wait by the wall clock, and after a step back of a day would dial again in a day. So it is
    // told that there is none, and the wait goes with the choice of the server: the first one is nats.js's own.
    reconnectDelayHandler: () => Number.NEGATIVE_INFINITY,
    reconnectToServer<S>([server]: readonly S[]): { server: S; delay: number } | null {
      const nowMs = performance.now()
      const delay = Math.max(0, dialledMs + REDIAL.leastMs + Math.random() * REDIAL.jitterMs - nowMs)
      dialledMs = nowMs + delay
      return server === undefined ? null : { server, delay }
    },
  }
}

const DIAL_BACKOFF = { firstMs: 100, maxMs: 3_000 }
const REFUSED_MS = 5_000

export function createLink<C extends Linkable>(options: LinkOptions<C>): Link<C> {
  const closing = new AbortController()
  const watchers = new Set<LinkWatcher>()
  let connection: C | null = null
  let problem: string | null = 'not connected yet'

  const setUp = (next: C): void => {
    connection = next
    problem = null
    for (const watcher of watchers) watcher.up?.()
  }
  const setDown = (why: string): void => {
    problem = why
    if (connection === null) return
    connection = null
    for (const watcher of watchers) watcher.down?.()
  }
  const running = runLink(options, { setUp, setDown, stop: closing.signal })

  return {
    current: () => connection,
    problem: () => problem,
    watch(watcher) {
      watchers.add(watcher)
      return () => void watchers.delete(watcher)
    },
    ready(signal) {
      if (connection) return Promise.resolve(connection)
      return whenUp(AbortSignal.any([signal, closing.signal]), watchers, () => connection)
    },
    async close() {
      closing.abort(new Error('The connection was closed.'))
      await running
    },
  }
}

interface LinkState<C> {
  readonly setUp: (connection: C) => void
  readonly setDown: (why: string) => void
  readonly stop: AbortSignal
}

/** Dials until it is closed; each turn is one connection's whole life. */
async function runLink<C extends Linkable>(options: LinkOptions<C>, state: LinkState<C>): Promise<void> {
  let failures = 0
  while (!state.stop.aborted) {
    let waitMs = backoffMs(failures, DIAL_BACKOFF, Math.random())
    try {
      const connection = await options.dial()
      const refused = await followConnection(connection, options, state)
      failures = 0
      waitMs = refused ? REFUSED_MS : DIAL_BACKOFF.firstMs
    } catch (error) {
      failures += 1
      state.setDown(messageOf(error))
    }
    await pause(waitMs, state.stop)
  }
}

/** Until the connection is closed, by us or for good. True where its server may not be used. */
async function followConnection<C extends Linkable>(
  connection: C,
  options: LinkOptions<C>,
  state: LinkState<C>,
): Promise<boolean> {
  let refused: string | null = null
  const admit = (): void => {
    refused = options.refuse?.(connection) ?? null
    if (refused === null) return state.setUp(connection)
    state.setDown(refused)
    void connection.close()
  }
  const onStop = (): void => void connection.close()
  state.stop.addEventListener('abort', onStop, { once: true })
  const statuses = connection.status()
  if (state.stop.aborted) onStop()
  else admit()
  // Ends with the connection: nats.js ends the iterator when it closes.
  for await (const status of statuses) {
    if (status.type === 'disconnect') state.setDown('disconnected')
    else if (status.type === 'reconnect') admit()
    else if (status.type === 'error') options.onError?.(status.error)
  }
  const end = await connection.closed()
  state.stop.removeEventListener('abort', onStop)
  state.setDown(refused ?? (end instanceof Error ? end.message : 'closed'))
  return refused !== null
}

function whenUp<C>(signal: AbortSignal, watchers: Set<LinkWatcher>, current: () => C | null): Promise<C> {
  return new Promise((resolve, reject) => {
    const watcher: LinkWatcher = {
      up: () => {
        const connection = current()
        if (connection === null) return
        end()
        resolve(connection)
      },
    }
    const onAbort = (): void => {
      end()
      reject(signal.reason)
    }
    const end = (): void => {
      watchers.delete(watcher)
      signal.removeEventListener('abort', onAbort)
    }
    watchers.add(watcher)
    if (signal.aborted) onAbort()
    else signal.addEventListener('abort', onAbort, { once: true })
  })
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}
