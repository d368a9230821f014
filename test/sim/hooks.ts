// Where a planted bug may sit: around the ports and the parts, never inside of them. Without one everything is as it is.
import type { Core } from '../../control-plane/core/core.ts'
import type { Bus } from '../../control-plane/core/bus-port.ts'
import type { JobStore } from '../../control-plane/core/ports.ts'
import type { Relay } from '../../control-plane/core/relay.ts'
import type { ControlPlane as AgentCalls } from '../../runner-agent/control-plane-client.ts'
import type { Engine } from '../../runner-agent/engine/engine-client.ts'
import type { AgentConnection } from '../../runner-agent/nats-connection.ts'
import type { Frame } from '../../shared/update.ts'
import type { Loop } from './loop.ts'
import { besideReplica } from './store-replica.ts'

export interface Hooks {
  /** The database compares nothing before it writes. */
  readonly isStoreLax: boolean
  /** Each process lets leases run out from its first sweep on, as one does that lives for one request. */
  readonly judgesAtOnce: boolean
  /** Which of its two databases a control plane asks, where it has a replica beside it. */
  readonly twoStores: (primary: JobStore, replica: JobStore) => JobStore
  readonly store: (store: JobStore, loop: Loop) => JobStore
  readonly bus: (bus: Bus) => Bus
  readonly core: (core: Core, store: JobStore) => Core
  readonly relay: (relay: Relay) => Relay
  readonly calls: (calls: AgentCalls) => AgentCalls
  readonly engine: (engine: Engine) => Engine
  readonly connection: (connection: AgentConnection) => AgentConnection
  readonly bootSeconds: (read: () => number) => () => number
  readonly frames: (frames: AsyncGenerator<Frame, void, void>) => AsyncGenerator<Frame, void, void>
}

export const NO_HOOKS: Hooks = {
  isStoreLax: false,
  judgesAtOnce: false,
  twoStores: (primary, replica) => besideReplica(primary, replica),
  store: (it) => it,
  bus: (it) => it,
  core: (it) => it,
  relay: (it) => it,
  calls: (it) => it,
  engine: (it) => it,
  connection: (it) => it,
  bootSeconds: (it) => it,
  frames: (it) => it,
}
