// The WebSocket of the real client, connected to the real relay of some control plane over the simulated network. Messages
// of one connection keep their order; a blocked way swallows them from then on, and the client notices by its own idle
// time; a dead server is noticed at once.
import { parseCursor } from '../../shared/position.ts'
import type { ControlPlane } from './control-plane.ts'
import type { Geography } from './geography.ts'
import type { Loop, Proc } from './loop.ts'
import type { Network } from './network.ts'

export interface SocketWorld {
  readonly loop: Loop
  readonly net: Network
  readonly planes: readonly ControlPlane[]
  readonly choose: Geography['choose']
  /** Reads the caller's key, where that is simulated. */
  readonly admit?: ((plane: ControlPlane) => Promise<void>) | undefined
  /** Each message on the wire, with the cursor that its connection began at. */
  readonly onWire: (connection: object, job: string, after: number, text: string) => void
}

type Listener = (event: never) => void

const NOTHING = (): void => undefined
const STREAM_URL = /\/([^/]+)\/stream\?after=([^&]*)/

/** What `new WebSocket(url)` is for one process's client. */
export function createSimWebSocket(world: SocketWorld, client: Proc): typeof globalThis.WebSocket {
  return SimWebSocket.bind(null, world, client) as unknown as typeof globalThis.WebSocket
}

class SimWebSocket {
  readonly #world: SocketWorld
  readonly #client: Proc
  readonly #listeners: { readonly type: string; readonly listener: Listener }[] = []
  #isClosed = false
  #hangUp = NOTHING

  constructor(world: SocketWorld, client: Proc, url: string) {
    this.#world = world
    this.#client = client
    const [, job = '', after = '0'] = STREAM_URL.exec(url) ?? []
    this.#dial(world.choose(client.host, world.planes), job, parseCursor(after) ?? 0)
  }

  #dial(plane: ControlPlane, job: string, after: number): void {
    const world = this.#world
    const client = this.#client
    const { loop, net } = world
    const { proc: server } = plane
    let isBroken = false
    let lastMs = 0
    let unsentBytes = 0
    const deliver = (run: () => void, sizeBytes = 0): void => {
      if (isBroken || !client.alive) return
      if (!net.isOpen(server.host, client.host)) {
        isBroken = true
        return
      }
      unsentBytes += sizeBytes
      lastMs = Math.max(lastMs + 0.001, loop.nowMs + net.latencyMs(server.host, client.host))
      loop.at(client, lastMs - loop.nowMs, () => {
        unsentBytes -= sizeBytes
        if (!this.#isClosed) run()
      })
    }
    const onServerDeath = (): void => deliver(() => this.#closed(1006, ''))
    const hangUpServer = (): void => {
      server.onDeath.delete(onServerDeath)
    }
    if (!server.alive) {
      loop.at(client, net.latencyMs(server.host, client.host), () => this.#closed(1006, ''))
      return
    }
    server.onDeath.add(onServerDeath)
    const accept = (): void => {
      if (this.#isClosed) return
      deliver(() => this.#emit('open', {}))
      const detach = plane.relay.attach(
        { tenant: 'default', job },
        {
          after,
          stateFrames: true,
          sink: {
            send: (batch) => {
              const text = batch.text()
              deliver(() => {
                world.onWire(this, job, after, text)
                this.#emit('message', { data: text })
              }, text.length)
            },
            bufferedBytes: () => unsentBytes,
            close(code, reason) {
              hangUpServer()
              deliver(() => closed(code, reason))
            },
          },
        },
      )
      this.#hangUp = () => {
        hangUpServer()
        // Said by a close frame, or noticed by the keep-alive.
        if (!net.send(client, server, detach)) loop.at(server, 30_000, detach)
      }
      client.onDeath.add(() => loop.at(server, 1, detach))
    }
    const closed = (code: number, reason: string): void => this.#closed(code, reason)
    const refuse = (): void => {
      hangUpServer()
      deliver(() => closed(1013, 'try again'))
    }
    net.send(client, server, () => {
      if (world.admit) world.admit(plane).then(accept, refuse)
      else accept()
    })
  }

  addEventListener(type: string, listener: Listener): void {
    this.#listeners.push({ type, listener })
  }

  close(): void {
    if (this.#isClosed) return
    this.#isClosed = true
    this.#hangUp()
  }

  #closed(code: number, reason: string): void {
    if (this.#isClosed) return
    this.#isClosed = true
    this.#emit('close', { code, reason })
  }

  #emit(type: string, event: object): void {
    for (const one of this.#listeners) if (one.type === type) one.listener(event as never)
  }
}
