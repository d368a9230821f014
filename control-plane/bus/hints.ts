// Hints of watched jobs: "the row changed". One subscription per job, however many watch it, kept over reconnects. After
// each reconnect everybody is called once, because hints of the time between were lost.
import type { NatsConnection, Subscription } from '@nats-io/nats-core'
import type { Link } from '../../shared/link.ts'

export interface Hints {
  on(subject: string, callback: () => void): () => void
  close(): void
}

interface Watched {
  readonly callbacks: Set<() => void>
  connection: NatsConnection | null
  subscription: Subscription | null
}

export function createHints(link: Link<NatsConnection>): Hints {
  const watched = new Map<string, Watched>()
  const subscribe = (subject: string, entry: Watched): void => {
    const connection = link.current()
    // nats.js repeats the subscriptions of a connection that came back; a new connection has none.
    if (!connection || entry.connection === connection) return
    entry.connection = connection
    entry.subscription = connection.subscribe(subject, { callback: () => callAll(entry) })
  }
  const unwatch = link.watch({
    up() {
      for (const [subject, entry] of watched) {
        subscribe(subject, entry)
        callAll(entry)
      }
    },
  })
  return {
    on(subject, callback) {
      const entry = watched.get(subject) ?? { callbacks: new Set(), connection: null, subscription: null }
      watched.set(subject, entry)
      // A callback of its own for each call: the same function may watch twice.
      const own = (): void => callback()
      entry.callbacks.add(own)
      subscribe(subject, entry)
      return () => {
        entry.callbacks.delete(own)
        if (entry.callbacks.size > 0 || watched.get(subject) !== entry) return
        watched.delete(subject)
        entry.subscription?.unsubscribe()
      }
    },
    close() {
      unwatch()
      watched.clear()
    },
  }
}

function callAll(entry: Watched): void {
  for (const callback of entry.callbacks) callback()
}
