// One control plane as a process: the real core and the real relay on the simulated store and bus. It is started, killed
// and started again; all that it knew is gone then.
import { createCore, SWEEP_EVERY_MS } from '../../control-plane/core/create-core.ts'
import type { Core } from '../../control-plane/core/core.ts'
import type { CoreConfig } from '../../control-plane/core/deps.ts'
import { createPace } from '../../control-plane/core/pace.ts'
import type { Bus } from '../../control-plane/core/bus-port.ts'
import type { Clock, JobStore, Log } from '../../control-plane/core/ports.ts'
import { createRelay } from '../../control-plane/core/relay-hub.ts'
import type { Relay } from '../../control-plane/core/relay.ts'
import { createProc, type Host, type Loop, type Proc } from './loop.ts'
import type { Hooks } from './hooks.ts'
import { createSimBus, type Nats } from './sim-bus.ts'

export interface ControlPlane {
  readonly host: Host
  proc: Proc
  core: Core
  relay: Relay
  /** As this process reaches it: authentication reads here. */
  store: JobStore
}

export const CORE_CONFIG: CoreConfig = {
  leaseMs: 6_000,
  outputBytes: 2 ** 20,
  lineBytes: 2 ** 16,
  cpuOvercommit: 4,
  natsJwtSeconds: 3_600,
}

const TICK_MS = 1_000
const quiet: Log = { info: () => undefined, warn: () => undefined, error: () => undefined }

export interface ControlPlaneWorld {
  readonly loop: Loop
  readonly nats: Nats
  readonly linkStore: (host: Host) => JobStore
  readonly hooks: Hooks
  readonly log?: Log | undefined
}

export function startControlPlane(world: ControlPlaneWorld, host: Host): ControlPlane {
  const made = { host } as ControlPlane
  begin(world, made)
  return made
}

/** After a crash: the same machine, nothing remembered. */
export function restartControlPlane(world: ControlPlaneWorld, plane: ControlPlane): void {
  if (!plane.proc.alive) begin(world, plane)
}

function begin({ loop, nats, linkStore, hooks, log = quiet }: ControlPlaneWorld, plane: ControlPlane): void {
  const proc = createProc(`control plane @${plane.host.name}`, plane.host)
  const store = hooks.store(linkStore(plane.host), loop)
  const bus: Bus = hooks.bus(createSimBus(nats, proc))
  const clock: Clock = {
    nowMs: () => Date.now(),
    after(ms, callback) {
      const timer = setTimeout(callback, ms)
      return () => clearTimeout(timer)
    },
  }
  plane.proc = proc
  plane.store = store
  const pace = hooks.judgesAtOnce ? createPace(SWEEP_EVERY_MS) : undefined
  plane.core = hooks.core(createCore({ store, bus, clock, log, config: CORE_CONFIG }, pace), store)
  plane.relay = hooks.relay(createRelay({ store, bus, clock, log }))
  const { core } = plane
  // The core's timers are its process's own: the first tick is an event of that process.
  loop.at(proc, 1, () => {
    setInterval(() => core.tick(), TICK_MS)
  })
}
