// Portable: Web APIs only.
//
// What every part of the core is given, and the settings that it obeys. Made once in create-core.ts.
import type { CourierBus } from './bus-port.ts'
import type { Clock, JobKey, JobStore, Log } from './ports.ts'

export interface CoreConfig {
  /** How long an agent may be silent before its attempts lapse; it beats each third of it. */
  readonly leaseMs: number
  readonly outputBytes: number
  readonly lineBytes: number
  readonly cpuOvercommit: number
  /** Life of an agent's NATS JWT; renewed by its heartbeats long before. */
  readonly natsJwtSeconds: number
  /** Authority (PEM) of the NATS servers, where it is a private one: agents get it when they join. */
  readonly natsCa?: string | undefined
}

export interface CoreDeps {
  readonly store: JobStore
  readonly bus: CourierBus
  readonly clock: Clock
  readonly log: Log
  readonly config: CoreConfig
}

/** Parts that act on the row also say that it changed, and that the schedule may have. */
export interface CoreContext extends CoreDeps {
  /** The row changed: relays read it again. */
  hint(key: JobKey): void
  /** Queue or capacity changed: plan again, soon, once. */
  pokeScheduler(): void
}
