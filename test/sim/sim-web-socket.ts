// The WebSocket of the real client, connected to the real relay of some control plane over the simulated network. Messages
// of one connection keep their order; a blocked way swallows them from then on, and the client notices by its own idle
// time; a dead server is noticed at once.
import type { AttachOptions } from '../../control-plane/core/relay.ts'
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
    const { loop, net, admit } = this.#world
    const { proc: server } = plane
    const client = this.#client
    const way = openWay(this.#world, server, client)
    const deliver = (run: () => void, sizeBytes = 0): void =>
      way.deliver(() => {
        if (!this.#isClosed) run()
      }, sizeBytes)
    const onServerDeath = (): void => deliver(() => this.#closed(1006, ''))
    const hangUpServer = (): void => void server.onDeath.delete(onServerDeath)
    if (!server.alive) {
      loop.at(client, net.latencyMs(server.host, client.host), () => this.#closed(1006, ''))
      return
    }
    server.onDeath.add(onServerDeath)
    const sink: AttachOptions['sink'] = {
      send: (batch) => {
        const text = batch.text()
        deliver(() => {
          this.#world.onWire(this, job, after, text)
          this.#emit('message', { data: text })
        }, text.length)
      },
      bufferedBytes: way.unsentBytes,
      close: (code, reason) => {
        hangUpServer()
        deliver(() => this.#closed(code, reason))
      },
    }
    const accept = (): void => {
      if (this.#isClosed) return
      deliver(() => this.#emit('open', {}))
      const detach = plane.relay.attach({ tenant: 'default', job }, { after, stateFrames: true, sink })
      const hangUp = (): void => {
        hangUpServer()
        // Said by a close frame, or noticed by the keep-alive.
        if (!net.send(client, server, detach)) loop.at(server, 30_000, detach)
      }
      this.#hangUp = hangUp
      client.onDeath.add(() => loop.at(server, 1, detach))
    }
    net.send(client, server, () => {
      if (admit) admit(plane).then(accept, () => sink.close(1013, 'try again'))
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

/** What a server sends on one connection: in order, and swallowed from the first message on that a block meets. */
function openWay({ loop, net }: SocketWorld, server: Proc, client: Proc) {
  let isBroken = false
  let lastMs = 0
  let unsentBytes = 0
  return {
    unsentBytes: () => unsentBytes,
    deliver(run: () => void, sizeBytes: number): void {
      if (isBroken || !client.alive) return
      if (!net.isOpen(server.host, client.host)) {
        isBroken = true
        return
      }
      unsentBytes += sizeBytes
      lastMs = Math.max(lastMs + 0.001, loop.nowMs + net.latencyMs(server.host, client.host))
      loop.at(client, lastMs - loop.nowMs, () => {
        unsentBytes -= sizeBytes
        run()
      })
    },
  }
}
