// A machine's agent as a process: the real loop of runner-agent on a simulated engine, connection and network. It is
// started by a supervisor, crashes without a word, and is found again by what its containers say. Two processes may run
// with one identity, after somebody copied the state folder.
import { startAgentLoop, type AgentLoop, type AgentParts } from '../../runner-agent/agent-loop.ts'
import type { AgentLog } from '../../runner-agent/agent-log.ts'
import { createControlPlane } from '../../runner-agent/control-plane-client.ts'
import type { Post } from '../../runner-agent/http-post.ts'
import type { Capacity } from '../../shared/agent-protocol.ts'
import { newSession } from '../../shared/session-name.ts'
import type { History } from './history.ts'
import type { Hooks } from './hooks.ts'
import { createProc, type Loop, type Proc } from './loop.ts'
import type { Machine, WallClock } from './machine.ts'
import { createSimAgentConnection } from './sim-agent-connection.ts'
import type { Nats } from './sim-bus.ts'
import { createSimEngine } from './sim-engine.ts'

export interface Agent {
  readonly id: string
  readonly machine: Machine
  readonly capacity: Capacity
  /** Its processes; usually one. */
  readonly runs: Set<AgentRun>
  started: number
  /** As its state folder keeps it. */
  session: string | null
}

export interface AgentRun {
  readonly proc: Proc
  readonly session: string
  loop: AgentLoop | null
}

export interface AgentWorld {
  readonly loop: Loop
  readonly nats: Nats
  readonly history: History
  readonly hooks: Hooks
  readonly post: Post
  /** The wall clock of a machine. */
  readonly wallMs: WallClock
  readonly log?: AgentLog | undefined
}

const quiet: AgentLog = { info: () => undefined, warn: () => undefined, error: () => undefined }

/** A new process of this agent. Ends by itself when it is superseded or cannot go on. */
export function startAgent(world: AgentWorld, agent: Agent): AgentRun {
  const { loop, history } = world
  agent.started += 1
  const { host } = agent.machine
  const proc = createProc(`agent ${agent.id}#${agent.started}`, host)
  const session = newSession(agent.session, world.wallMs(host))
  agent.session = session
  const run: AgentRun = { proc, session, loop: null }
  agent.runs.add(run)
  history.trace('agent', proc.name)
  const over = (): void => {
    agent.runs.delete(run)
    loop.kill(proc)
  }
  proc.onDeath.add(() => agent.runs.delete(run))
  loop.at(proc, 5, () => {
    startAgentLoop(partsOf(world, agent, run)).then(
      (working) => {
        run.loop = working
        void working.done.then((how) => {
          history.trace('agent-end', proc.name, how)
          if (how === 'failed') history.violated('other', `${proc.name} failed`)
          over()
        })
      },
      () => over(),
    )
  })
  return run
}

function partsOf(world: AgentWorld, agent: Agent, { proc, session }: AgentRun): AgentParts {
  const { loop, nats, hooks } = world
  const { machine, capacity } = agent
  const config = {
    url: 'http://control-plane',
    bootId: machine.bootId,
    drainMs: 500,
    image: 'sim',
    command: ['run'],
    maxOpenFiles: 1_024,
    internetNetwork: 'bridge',
    settings: {},
    gpuMemoryBytes: null,
  } as unknown as AgentParts['config']
  const read = { capacity, posture: { degraded: [] }, gpusByEnvironment: false, warnings: [] }
  return {
    config,
    log: world.log ?? quiet,
    engine: hooks.engine(createSimEngine({ loop, random: nats.random, machine })),
    controlPlane: hooks.calls(createControlPlane({ url: config.url, session, key: () => agent.id, post: world.post })),
    machine: read,
    session,
    seed: '',
    membership: { url: config.url, agent: agent.id, key: agent.id, nats: { urls: [], jwt: 'jwt' }, leaseSeconds: 6 },
    rejoin: () => Promise.resolve(),
    saveJwt: () => Promise.resolve(),
    surroundings: {
      connect: (options) => hooks.connection(createSimAgentConnection(nats, proc, options)),
      readMachine: () => Promise.resolve(read),
      bootSeconds: hooks.bootSeconds(() => Math.floor(loop.nowMs / 1000)),
      startsAtOnce: 2,
    },
  }
}
