// A Durable Object for one job: all that follow it meet here, so one reader serves them, wherever they connected. It runs
// the same app, relay and bus as every other runtime; the object owns the NATS connection, so its requests may share it.
// It keeps nothing: what a job said is in NATS and the database, and an object that is gone is made anew.
//
// A while after the last client has left it lets go of NATS, so that it can be evicted and costs nothing.
import type { Bus } from '../core/bus-port.ts'
import { createCore } from '../core/create-core.ts'
import type { Relay } from '../core/relay.ts'
import { createRelay } from '../core/relay-hub.ts'
import { createApp } from '../http/app.ts'
import type { App } from '../http/context.ts'
import { openIsolate, openObjectBus, openStore } from './workerd-parts.ts'
import type { WorkerBindings } from './workerd-runtime.ts'

interface Open {
  readonly app: App
  readonly relay: Relay
  close(): Promise<void>
}

const LINGER_MS = 5_000
/** Sweeping is for those who change something; here one only looks. */
const never = { due: () => false }

// A class, because the runtime makes one for each name.
export class JobRelay {
  readonly #bindings: WorkerBindings
  #open: Promise<Open> | null = null
  #requests = 0
  #lingering = false

  constructor(_state: unknown, bindings: WorkerBindings) {
    this.#bindings = bindings
  }

  async fetch(request: Request): Promise<Response> {
    this.#requests += 1
    try {
      const { app } = await (this.#open ??= openParts(this.#bindings))
      return await app.fetch(request)
    } finally {
      this.#requests -= 1
      this.#linger()
    }
  }

  /** One timer at a time; it comes again while somebody is here. */
  #linger(): void {
    if (this.#lingering) return
    this.#lingering = true
    setTimeout(() => {
      this.#lingering = false
      void this.#closeIfIdle()
    }, LINGER_MS)
  }

  async #closeIfIdle(): Promise<void> {
    const open = await this.#open
    if (!open) return
    if (this.#requests > 0 || open.relay.clientCount() > 0) return this.#linger()
    this.#open = null
    await open.close()
  }
}

async function openParts(bindings: WorkerBindings): Promise<Open> {
  const isolate = openIsolate(bindings)
  const { clock, log, platform, config } = isolate
  const store = openStore(isolate)
  const bus: Bus = await openObjectBus(isolate)
  const core = createCore({ store, bus, clock, log, config: config.core }, never)
  const relay = createRelay({ store, bus, clock, log })
  return {
    app: createApp({ core, relay, clock, log, platform, maxima: config.maxima }),
    relay,
    async close() {
      await relay.close()
      await core.close()
      await bus.close()
      await store.close()
    },
  }
}
