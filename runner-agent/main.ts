// The runner agent: opens its state folder, looks at its machine, joins the control plane, and works until it is told to
// stop. The process around it (cli/agent.ts) decides when:
//   drain       no new work, wait for the jobs up to the grace, leave the rest to the next process
//   close       the same without waiting
//   superseded  a newer process of this agent took over: touches nothing, exit code 76
import os from 'node:os'
import { startAgentLoop, type AgentParts, type LoopEnd } from './agent-loop.ts'
import { createAgentLog, type AgentLog } from './agent-log.ts'
import { readMachine } from './capacity.ts'
import type { AgentConfig } from './config.ts'
import { createControlPlane } from './control-plane-client.ts'
import { createEngine } from './engine/engine-client.ts'
import { retryEngine } from './engine-retry.ts'
import { becomeMember, joinOnce, JoinRefused } from './join.ts'
import { createAgentConnection } from './nats-connection.ts'
import { openStateFolder, type StateFolder } from './state-folder.ts'

export const SUPERSEDED_EXIT_CODE = 76

const EXIT_CODES: Readonly<Record<LoopEnd, number>> = { stopped: 0, superseded: SUPERSEDED_EXIT_CODE, failed: 1 }

export interface Agent {
  readonly agentId: string
  /** The exit code, once the agent has ended for whatever reason and let go of everything. */
  readonly done: Promise<number>
  /** No new work; ends when its jobs have, at the latest when the configured grace is over. */
  drain(): void
  /** Ends now; running containers stay for the next process. */
  close(): Promise<void>
}

export async function startAgent(config: AgentConfig, log: AgentLog = createAgentLog()): Promise<Agent> {
  const folder = await openStateFolder(config.stateDir)
  try {
    const parts = await joinedParts(config, folder, log)
    const loop = await startAgentLoop(parts)
    log.info('The agent works.', { agent: parts.membership.agent, url: config.url })
    const done = loop.done.then(async (how) => {
      await folder.release()
      return EXIT_CODES[how]
    })
    return {
      agentId: parts.membership.agent,
      done,
      drain: () => loop.drain(),
      async close() {
        loop.close()
        await done
      },
    }
  } catch (error) {
    await folder.release()
    throw error
  }
}

async function joinedParts(config: AgentConfig, folder: StateFolder, log: AgentLog): Promise<AgentParts> {
  // Nothing here is waited for without an end of its own, but joining a control plane that is not there yet.
  const { signal } = new AbortController()
  const engine = createEngine({ socketPath: config.dockerSocket })
  const machine = await retryEngine(() => readMachine(engine, config, signal), signal)
  for (const warning of machine.warnings) log.warn(warning)
  const session = await folder.nextSession()
  let key: string | null = null
  const controlPlane = createControlPlane({ url: config.url, session, key: () => key })
  const joining = { config, folder, controlPlane, machine, log }
  let membership = await becomeMember(joining, signal)
  key = membership.key
  return {
    config,
    log,
    engine,
    controlPlane,
    machine,
    session,
    seed: new TextDecoder().decode(folder.seed),
    membership,
    async rejoin() {
      if (config.joinToken === null)
        throw new JoinRefused('It was removed there, or the database is another one: join again with a join token.')
      const next = await joinOnce(joining, signal)
      key = next.key
      if (next.agent !== membership.agent) throw new JoinRefused('It came back as another agent: restart this process.')
    },
    async saveJwt(jwt) {
      membership = { ...membership, key: key ?? membership.key, nats: { ...membership.nats, jwt } }
      await folder.writeMembership(membership)
    },
    surroundings: {
      connect: createAgentConnection,
      readMachine: (until) => readMachine(engine, config, until),
      bootSeconds: () => os.uptime(),
      startsAtOnce: os.availableParallelism(),
    },
  }
}
