// Connections to NATS: one for each process. It breaks when the server goes or the way to it is blocked, noticed at once or
// after a while, and comes back by itself some time after the way is open again, as nats.js does it.
import type { Host, Loop, Proc } from './loop.ts'
import type { Network } from './network.ts'
import type { Prng } from './prng.ts'

export interface NatsLink {
  readonly proc: Proc
  readonly isUp: boolean
  /** Waits for the connection; rejects with the signal's reason. */
  ready(signal: AbortSignal): Promise<void>
  watch(watcher: { up?: () => void; down?: () => void }): () => void
  close(): void
}

export interface NatsLinks {
  readonly server: Proc
  open(proc: Proc): NatsLink
  /** The server is gone, or there again. */
  setServer(isThere: boolean): void
}

interface Link extends NatsLink {
  isUp: boolean
  closed: boolean
  readonly watchers: Set<{ up?: () => void; down?: () => void }>
}

export function createNatsLinks(loop: Loop, random: Prng, net: Network, server: Proc): NatsLinks {
  const links = new Set<Link>()
  let isThere = true
  const isReachable = (host: Host): boolean => isThere && net.isOpen(host, server.host) && net.isOpen(server.host, host)
  const change = (link: Link, isUp: boolean): void => {
    if (link.closed || !link.proc.alive || link.isUp === isUp || isReachable(link.proc.host) !== isUp) return
    link.isUp = isUp
    for (const watcher of link.watchers) (isUp ? watcher.up : watcher.down)?.()
  }
  const refresh = (): void => {
    for (const link of links) {
      if (!link.proc.alive) links.delete(link)
      const isUp = isReachable(link.proc.host)
      if (link.isUp === isUp) continue
      // A dead server resets its sockets; a blocked way is noticed by missing pongs.
      const delayMs = isUp ? random.between(50, 1_500) : isThere ? random.between(500, 5_000) : random.between(1, 50)
      loop.at(link.proc, delayMs, () => change(link, isUp))
    }
  }
  net.onChange(refresh)
  return {
    server,
    open(proc) {
      const watchers: Link['watchers'] = new Set()
      const link: Link = {
        proc,
        isUp: false,
        closed: false,
        watchers,
        ready: (signal) => ready(link, signal),
        watch(watcher) {
          watchers.add(watcher)
          return () => void watchers.delete(watcher)
        },
        close() {
          link.closed = true
          link.isUp = false
          links.delete(link)
        },
      }
      links.add(link)
      loop.at(proc, random.between(1, 30), () => change(link, true))
      return link
    },
    setServer(there) {
      isThere = there
      refresh()
    },
  }
}

function ready(link: Link, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    if (signal.aborted) return reject(signal.reason as Error)
    if (link.isUp) return resolve()
    const settle = (how: () => void): void => {
      unwatch()
      signal.removeEventListener('abort', onAbort)
      how()
    }
    const onAbort = (): void => settle(() => reject(signal.reason as Error))
    const unwatch = link.watch({ up: () => settle(resolve) })
    signal.addEventListener('abort', onAbort, { once: true })
  })
}
