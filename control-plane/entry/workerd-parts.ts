// The parts of a control plane on workerd. Settings and secrets come as bindings and are read once; what holds a
// connection is made for one request, or for one Durable Object, and closed with it. Pure times are shared by all
// requests of the isolate.
import { wsconnect } from '@nats-io/nats-core'
import { createNatsBus } from '../bus/nats-bus.ts'
import { parseBusIdentity, type BusIdentity } from '../bus/nats-identity.ts'
import { createRequestBus, type RequestBus, type RequestBusOptions } from '../bus/request-bus.ts'
import { createCore, SWEEP_EVERY_MS } from '../core/create-core.ts'
import { createPace } from '../core/pace.ts'
import type { Bus } from '../core/bus-port.ts'
import type { Clock, JobStore, Log } from '../core/ports.ts'
import type { Core } from '../core/core.ts'
import type { StreamLedger } from '../core/stream-ledger.ts'
import { createJobStore } from '../store/job-store.ts'
import { openRemoteDb } from '../store/remote-db.ts'
import { ConfigError, loadControlPlaneConfig, type ControlPlaneConfig } from './control-plane-config.ts'
import { createLineLog } from './line-log.ts'
import { createTimerClock } from './timer-clock.ts'
import { createWorkerdPlatform } from './workerd-platform.ts'
import type { WorkerBindings } from './workerd-runtime.ts'

export interface Isolate {
  readonly config: ControlPlaneConfig
  readonly identity: BusIdentity
  readonly clock: Clock
  readonly log: Log
  readonly platform: ReturnType<typeof createWorkerdPlatform>
}

export interface RequestParts {
  readonly store: JobStore
  readonly bus: RequestBus
  readonly core: Core
  /** Ends what the request began: its sweep, its plan, its messages. Not awaited by the answer. */
  close(): Promise<void>
}

const STREAM_LOOK_EVERY_MS = 5_000
const sweepPace = createPace(SWEEP_EVERY_MS)
const streamPace = createPace(STREAM_LOOK_EVERY_MS)
let known: Isolate | null = null

/** Throws ConfigError. The bindings of an isolate never change. */
export function openIsolate(bindings: WorkerBindings): Isolate {
  if (known) return known
  const settings = Object.entries(bindings).filter(([, value]) => typeof value === 'string')
  const config = loadControlPlaneConfig(Object.fromEntries(settings) as Record<string, string>)
  if (config.databaseUrl.startsWith('file:')) throw new ConfigError('DRAY_DATABASE_URL must name a libSQL server.')
  if (config.nats.urls.some((url) => !/^wss?:/.test(url)))
    throw new ConfigError('DRAY_NATS_URLS must name WebSocket listeners: wss://…')
  known = {
    config,
    identity: readIdentity(bindings),
    clock: createTimerClock(),
    log: createLineLog(config.logLevel, (line) => console.log(line.trimEnd())),
    platform: createWorkerdPlatform(),
  }
  return known
}

function readIdentity(bindings: WorkerBindings): BusIdentity {
  const text = bindings['DRAY_NATS_IDENTITY']
  if (typeof text !== 'string') throw new ConfigError('The secret DRAY_NATS_IDENTITY is missing.')
  try {
    return parseBusIdentity(text)
  } catch {
    // The parser's own words may quote the secret.
    throw new ConfigError('The secret DRAY_NATS_IDENTITY is no NATS identity of version 1.')
  }
}

export function openStore({ config }: Isolate): JobStore & StreamLedger {
  return createJobStore(openRemoteDb(config.databaseUrl, config.databaseToken))
}

/** For one request. */
export function openRequest(isolate: Isolate): RequestParts {
  const { config, clock, log } = isolate
  const store = openStore(isolate)
  const bus = createRequestBus({ ...busOptions(isolate), ledger: store, streamPace })
  const core = createCore({ store, bus, clock, log, config: config.core }, sweepPace)
  return {
    store,
    bus,
    core,
    async close() {
      await core.close()
      await bus.close()
      await store.close()
    },
  }
}

/** For one Durable Object: its requests may share a connection, because the object owns it. */
export function openObjectBus(isolate: Isolate): Promise<Bus> {
  return createNatsBus(busOptions(isolate))
}

function busOptions({ config: { nats }, identity, log }: Isolate): Omit<RequestBusOptions, 'streamPace' | 'ledger'> {
  return {
    urls: nats.urls,
    agentUrls: nats.agentUrls,
    identity,
    log,
    stream: { maxBytes: nats.maxBytes, maxAgeSeconds: nats.maxAgeSeconds },
    dial: wsconnect,
  }
}
