// Everything that one schedule consists of, and how it is put together: a database, NATS, two control planes, the machines
// with their agents, the clients.
import type { AgentLog } from '../../runner-agent/agent-log.ts'
import type { Capacity } from '../../shared/agent-protocol.ts'
import type { Agent, AgentWorld } from './agent.ts'
import type { ClientWorld } from './client.ts'
import type { ControlPlane, ControlPlaneWorld } from './control-plane.ts'
import { watchWire } from './check-wire.ts'
import { createHistory, type History } from './history.ts'
import type { Hooks } from './hooks.ts'
import { inOnePlace, inRegions, type Geography } from './geography.ts'
import { createHttpDoor } from './http-door.ts'
import { createHost, createLoop, createProc, type Host, type Loop, type Proc } from './loop.ts'
import { createMachine } from './machine.ts'
import { createNatsLinks } from './nats-links.ts'
import { createNatsServer } from './nats-server.ts'
import { createNetwork, type Network } from './network.ts'
import type { Plan } from './plan.ts'
import { createPrng, type Prng } from './prng.ts'
import { createRegionWorld, type RegionWorld } from './region-world.ts'
import { createCoreSubjects, type Nats } from './sim-bus.ts'
import { createSimStore, type SimStore } from './sim-store.ts'
import { linkStore, NO_TROUBLES, type StoreTroubles } from './store-link.ts'
import { EPOCH_MS } from './virtual-globals.ts'

export interface World {
  readonly plan: Plan
  readonly loop: Loop
  readonly random: Prng
  readonly root: Proc
  readonly net: Network
  readonly nats: Nats
  readonly database: SimStore
  readonly troubles: StoreTroubles
  readonly history: History
  readonly planes: ControlPlane[]
  readonly agents: Agent[]
  readonly clients: Proc[]
  readonly planeWorld: ControlPlaneWorld
  readonly agentWorld: AgentWorld
  readonly clientWorld: ClientWorld
  readonly geography: Geography
  /** Null where all is in one place. */
  readonly regions: RegionWorld | null
}

export interface WorldOptions {
  readonly hooks: Hooks
  /** Each event of the history, and what the parts log: for reading one schedule. */
  readonly onTrace?: ((line: string) => void) | undefined
}

const GIB = 2 ** 30
/** So long before its commit a scheduler may have looked at who is silent. */
const PLAN_MS = 10

export function createWorld(plan: Plan, { hooks, onTrace }: WorldOptions): World {
  const root = createProc('world', createHost('world'))
  const loop = createLoop({
    root,
    onError: (error, proc) => history.violated('other', `${proc.name} threw: ${describe(error)}`),
  })
  const history = createHistory(() => loop.nowMs, onTrace)
  const random = createPrng(plan.seed + 0x5eed)
  const geography = plan.regions ? inRegions(plan.regions, random) : inOnePlace(random)
  const net = createNetwork(loop, random, geography.wayMs)
  const natsHost = createHost('nats')
  const links = createNatsLinks(loop, random, net, createProc('nats', natsHost))
  const nats = {
    loop,
    random,
    net,
    links,
    server: createNatsServer(history, () => loop.nowMs),
    core: createCoreSubjects(),
  }
  const troubles = { ...NO_TROUBLES }
  const database = createSimStore({
    isLax: hooks.isStoreLax,
    now: () => EPOCH_MS + Math.floor(loop.nowMs),
    onChange(row, { before, event }, transition) {
      const { id } = row.state
      const story = history.job(id)
      const silent = [...database.tables.agents.values()].filter(
        ({ leaseUntilMs, heardSinceMs }) => leaseUntilMs <= transition.atMs || heardSinceMs + PLAN_MS > transition.atMs,
      )
      const step = {
        ...transition,
        place: history.place(),
        ms: loop.nowMs,
        cause: event,
        silent: silent.map(({ record }) => record.id),
        before,
        after: row.state,
      }
      story.steps.push(step)
      story.state = row.state
      history.trace('commit', id, transition.rev, transition.event, transition.phase, transition.reason ?? '')
    },
  })
  const databaseProc = createProc('database', createHost('database'))
  const link = { loop, random, database: databaseProc, troubles }
  const log = onTrace && tracingLog(history, loop)
  const planes: ControlPlane[] = []
  const agents = Array.from({ length: plan.agents }, (_, index) => createAgent(loop, history, database, index))
  const regions =
    plan.regions && createRegionWorld({ plan: plan.regions, loop, random, geography, database, link, hooks })
  const store = regions?.linkStore ?? (() => linkStore(database.store, link))
  const door = createHttpDoor({ loop, net, choose: geography.choose, history, planes })
  return {
    plan,
    loop,
    random,
    root,
    net,
    nats,
    database,
    troubles,
    history,
    planes,
    agents,
    clients: Array.from({ length: plan.clients }, (_, index) =>
      createProc(`client${index}`, createHost(`client${index}`)),
    ),
    planeWorld: { loop, nats, linkStore: store, hooks, log },
    agentWorld: {
      loop,
      nats,
      history,
      hooks,
      post: regions?.measureClaims(door) ?? door,
      wallMs: wallOf(loop),
      log,
    },
    clientWorld: {
      loop,
      net,
      random,
      history,
      hooks,
      planes,
      choose: geography.choose,
      admit: regions?.admit,
      onFrame: regions?.onFrame,
      onWire: watchWire(history),
    },
    geography,
    regions,
  }
}

const GPUS = [
  { id: '0', uuid: 'GPU-0' },
  { id: '1', uuid: 'GPU-1' },
]

/** A machine that has joined long ago: its row is in the database, and nothing runs on it. */
function createAgent(loop: Loop, history: History, { tables }: SimStore, index: number): Agent {
  const id = `agent${index}`
  const machine = createMachine(loop, history, createHost(`machine${index}`), wallOf(loop))
  const capacity: Capacity = { cpus: 2, memory: 2 * GIB, gpus: [...GPUS], defaults: { memory: GIB / 4, cpus: 1 } }
  const record = {
    id,
    name: id,
    pool: 'default',
    labels: {},
    nkey: id,
    version: '1',
    protocol: 1,
    capacity,
    posture: { degraded: [] },
    cordoned: false,
    draining: false,
    bootId: machine.bootId,
    session: 'none',
    beat: 0,
    held: [],
    lastSeenAtMs: null,
    joinedAtMs: index,
  }
  tables.agents.set(id, {
    record,
    keyHash: id,
    leaving: false,
    leaseMs: 0,
    leaseUntilMs: 0,
    heardSinceMs: 0,
    sessions: new Set(),
  })
  return { id, machine, capacity, runs: new Set(), started: 0, session: null }
}

function wallOf(loop: Loop): (host: Host) => number {
  return (host) => EPOCH_MS + Math.floor(loop.nowMs) + host.wallOffsetMs
}

/** What the parts log becomes a part of the trace. */
function tracingLog(history: History, loop: Loop): AgentLog {
  const line =
    (level: string) =>
    (message: string, fields: Readonly<Record<string, unknown>> = {}): void =>
      history.trace(level, loop.current.name, message, JSON.stringify(fields))
  return { info: line('info'), warn: line('warn'), error: line('error') }
}

export function describe(error: unknown): string {
  return error instanceof Error ? (error.stack ?? error.message) : String(error)
}
