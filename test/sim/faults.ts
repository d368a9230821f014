// The faults: what each does to the world, and how it is undone. A fault that needs something that is not there (an agent
// that was killed already) does nothing. Whom it hits follows from the plan alone.
import { startAgent, type Agent } from './agent.ts'
import { restartControlPlane, type ControlPlane } from './control-plane.ts'
import type { Host, Proc } from './loop.ts'
import type { Fault, FaultKind } from './plan.ts'
import { FAIR } from './network.ts'
import type { World } from './world.ts'

type Undo = () => void
type Apply = (world: World, fault: Fault) => Undo | undefined

export function applyFault(world: World, fault: Fault): Undo {
  world.history.trace('fault', fault.kind, fault.which, fault.forMs)
  const undo = FAULT[fault.kind](world, fault)
  return () => {
    world.history.trace('healed', fault.kind, fault.which)
    undo?.()
  }
}

function agentOf({ agents }: World, { which }: Fault): Agent {
  return agents[which % agents.length] as Agent
}

function planeOf({ planes }: World, { which }: Fault): ControlPlane {
  return planes[which % planes.length] as ControlPlane
}

function runOf(world: World, fault: Fault) {
  return [...agentOf(world, fault).runs].at(-1)
}

/** From now on until its end the agent has a reason to be silent. */
function trouble(world: World, agent: string, what: string): Undo {
  const entry = { agent, fromMs: world.loop.nowMs, toMs: null as number | null, what }
  world.history.troubles.push(entry)
  return () => {
    entry.toMs = world.loop.nowMs
  }
}

/** One way, the other, or both. */
function cut({ net }: World, { how }: Fault, a: Host, b: Host): Undo {
  const ways: [Host, Host][] =
    how < 0.25
      ? [[a, b]]
      : how < 0.5
        ? [[b, a]]
        : [
            [a, b],
            [b, a],
          ]
  for (const [from, to] of ways) net.block(from, to)
  return () => {
    for (const [from, to] of ways) net.unblock(from, to)
  }
}

function all(...undos: (Undo | undefined)[]): Undo {
  return () => {
    for (const undo of undos) undo?.()
  }
}

/** Brings an agent up unless a process of it runs. */
export function superviseAgent(world: World, agent: Agent): void {
  if (agent.runs.size === 0 && !isBurnt(agent)) startAgent(world.agentWorld, agent)
}

function pauseFor(world: World, proc: Proc | undefined): Undo | undefined {
  if (!proc?.alive) return undefined
  world.loop.pause(proc)
  return () => world.loop.resume(proc)
}

const burnt = new WeakSet<Agent>()

export function isBurnt(agent: Agent): boolean {
  return burnt.has(agent)
}

const AGENT: Record<Extract<FaultKind, `agent-${string}` | `machine-${string}`>, Apply> = {
  'agent-crash'(world, fault) {
    const agent = agentOf(world, fault)
    const over = trouble(world, agent.id, fault.kind)
    for (const run of agent.runs) world.loop.kill(run.proc)
    return all(() => superviseAgent(world, agent), over)
  },
  'agent-restart'(world, fault) {
    const agent = agentOf(world, fault)
    const run = runOf(world, fault)
    const { loop } = world
    const over = trouble(world, agent.id, fault.kind)
    if (run?.loop) loop.at(run.proc, 0, () => run.loop?.close())
    // A supervisor kills what does not end by itself.
    return all(() => {
      if (run) loop.kill(run.proc)
      superviseAgent(world, agent)
    }, over)
  },
  'agent-pause': (world, fault) =>
    all(pauseFor(world, runOf(world, fault)?.proc), trouble(world, agentOf(world, fault).id, fault.kind)),
  'agent-twin'(world, fault) {
    const agent = agentOf(world, fault)
    if (isBurnt(agent)) return undefined
    const over = trouble(world, agent.id, fault.kind)
    startAgent(world.agentWorld, agent)
    return over
  },
  'machine-suspend'(world, fault) {
    const agent = agentOf(world, fault)
    const { host } = agent.machine
    if (host.suspendedSinceMs !== null) return undefined
    world.loop.suspend(host)
    return all(() => world.loop.wake(host), trouble(world, agent.id, fault.kind))
  },
  'machine-reboot'(world, fault) {
    const agent = agentOf(world, fault)
    const over = trouble(world, agent.id, fault.kind)
    for (const run of agent.runs) world.loop.kill(run.proc)
    agent.machine.reboot()
    return all(() => {
      agent.machine.bringEngine()
      superviseAgent(world, agent)
    }, over)
  },
  'machine-burns'(world, fault) {
    const agent = agentOf(world, fault)
    if (world.agents.filter((one) => !isBurnt(one)).length < 2) return undefined
    burnt.add(agent)
    trouble(world, agent.id, fault.kind)
    for (const run of agent.runs) world.loop.kill(run.proc)
    agent.machine.loseEngine(true)
    world.loop.kill(agent.machine.engine)
    for (const container of agent.machine.containers.values()) agent.machine.remove(container)
    return undefined
  },
  'machine-clock'(world, fault) {
    const { host } = agentOf(world, fault).machine
    host.wallOffsetMs += Math.round((fault.how - 0.5) * 172_800_000)
    return undefined
  },
}

const CUTS: Record<Extract<FaultKind, `cut-${string}` | 'weather'>, Apply> = {
  'cut-agent-plane'(world, fault) {
    const agent = agentOf(world, fault)
    const cuts = world.planes.map((plane) => cut(world, fault, agent.machine.host, plane.host))
    return all(...cuts, trouble(world, agent.id, fault.kind))
  },
  'cut-agent-nats': (world, fault) =>
    cut(world, fault, agentOf(world, fault).machine.host, world.nats.links.server.host),
  'cut-plane-nats': (world, fault) => cut(world, fault, planeOf(world, fault).host, world.nats.links.server.host),
  'cut-client-plane'(world, fault) {
    const client = world.clients[fault.which % world.clients.length] as Proc
    return all(...world.planes.map((plane) => cut(world, fault, client.host, plane.host)))
  },
  weather(world, { how, kind, which }) {
    const weather =
      which % 2 === 0
        ? { lateMs: 100 + how * 1_500, dropChance: 0, answerLossChance: 0, repeatChance: how / 2 }
        : { lateMs: 50, dropChance: how * 0.2, answerLossChance: how * 0.4, repeatChance: 0.1 }
    Object.assign(world.net.weather, weather)
    const overs = world.agents.map(({ id }) => trouble(world, id, kind))
    return all(() => Object.assign(world.net.weather, FAIR), ...overs)
  },
}

const PLANE: Record<Extract<FaultKind, `plane${string}`>, Apply> = {
  'plane-crash'(world, fault) {
    const plane = planeOf(world, fault)
    world.loop.kill(plane.proc)
    return () => restartControlPlane(world.planeWorld, plane)
  },
  'planes-away'(world) {
    for (const { proc } of world.planes) world.loop.kill(proc)
    return () => {
      for (const plane of world.planes) restartControlPlane(world.planeWorld, plane)
    }
  },
  'plane-pause': (world, fault) => pauseFor(world, planeOf(world, fault).proc),
  'plane-clock'(world, fault) {
    planeOf(world, fault).host.wallOffsetMs += Math.round((fault.how - 0.5) * 7_200_000)
    return undefined
  },
}

const STORE: Record<Extract<FaultKind, `store-${string}`>, Apply> = {
  'store-away'({ troubles }) {
    troubles.away = true
    return () => {
      troubles.away = false
    }
  },
  'store-fails-before'({ troubles }, { how }) {
    troubles.failBeforeChance = how / 2
    return () => {
      troubles.failBeforeChance = 0
    }
  },
  'store-fails-after'({ troubles }, { how }) {
    troubles.failAfterChance = how / 2
    return () => {
      troubles.failAfterChance = 0
    }
  },
  'store-slow'({ troubles }, { how }) {
    troubles.slowMs = how * 3_000
    return () => {
      troubles.slowMs = 0
    }
  },
}

const NATS: Record<
  Extract<FaultKind, `nats-${string}` | `stream-${string}` | 'consumers-lost' | 'core-lossy'>,
  Apply
> = {
  'nats-away'({ nats }) {
    nats.links.setServer(false)
    return () => nats.links.setServer(true)
  },
  'stream-wipe'({ nats, history, loop }, { forMs }) {
    nats.server.wipe()
    history.streamLossesMs.push(loop.nowMs)
    // The control plane's keeper makes it again within seconds.
    loop.at(nats.links.server, Math.min(forMs, 5_000), () => nats.server.create())
    return undefined
  },
  'stream-rollback'({ nats, history, loop }, { which }) {
    nats.server.rollBack(1 + (which % 12))
    history.streamLossesMs.push(loop.nowMs)
    return undefined
  },
  'stream-evict'({ nats, history, loop }, { which }) {
    nats.server.evict(1 + (which % 12))
    history.streamLossesMs.push(loop.nowMs)
    return undefined
  },
  'consumers-lost'({ nats }) {
    nats.server.loseConsumers()
    return undefined
  },
  'core-lossy'({ nats }, { how }) {
    nats.core.lossChance = 0.3 + how * 0.7
    return () => {
      nats.core.lossChance = 0
    }
  },
}

const ENGINE: Record<Extract<FaultKind, `engine-${string}` | 'sockets-lost' | 'slow-starts'>, Apply> = {
  'engine-restart': (world, fault) => loseEngine(world, fault, false),
  'engine-kill': (world, fault) => loseEngine(world, fault, true),
  'engine-hang'(world, fault) {
    const { machine, id } = agentOf(world, fault)
    if (machine.engineState !== 'up') return undefined
    machine.engineState = 'hung'
    return all(() => machine.bringEngine(), trouble(world, id, fault.kind))
  },
  'sockets-lost'(world, fault) {
    agentOf(world, fault).machine.dropSockets()
    return undefined
  },
  'slow-starts'(world, fault) {
    const { machine } = agentOf(world, fault)
    machine.slowStartMs = 4_000
    return () => {
      machine.slowStartMs = 0
    }
  },
}

function loseEngine(world: World, fault: Fault, killsContainers: boolean): Undo | undefined {
  const { machine, id } = agentOf(world, fault)
  if (machine.engineState !== 'up') return undefined
  machine.loseEngine(killsContainers)
  return all(() => machine.bringEngine(), trouble(world, id, fault.kind))
}

const FAULT: Record<FaultKind, Apply> = { ...AGENT, ...CUTS, ...PLANE, ...STORE, ...NATS, ...ENGINE }
