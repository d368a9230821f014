// An agent of this process with a real engine and a real nats-server, under a scripted control plane.
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { inject } from 'vitest'
import type { FinishBody } from '../../shared/agent-protocol.ts'
import type { SubmitBody } from '../../shared/job-spec.ts'
import { loadConfig } from '../../runner-agent/config.ts'
import { createEngine, type ContainerSummary, type Engine } from '../../runner-agent/engine/engine-client.ts'
import { startAgent, type Agent } from '../../runner-agent/main.ts'
import { eventually } from './eventually.ts'
import { startNats, type TestNats } from './nats-server.ts'
import { startScriptedControlPlane, type ScriptedControlPlane, type ScriptedJob } from './scripted-control-plane.ts'

export interface AgentFixture {
  readonly nats: TestNats
  readonly controlPlane: ScriptedControlPlane
  readonly engine: Engine
  readonly stateDir: string
  /** The one that was started last. */
  agent: Agent
  startAgent(): Promise<Agent>
  containers(): Promise<ContainerSummary[]>
  /** A job whose container runs `script`. */
  sh(script: string): SubmitBody & { image: string }
  finished(job: ScriptedJob): Promise<FinishBody>
  /** Nothing of ours is left in the engine. */
  gone(): Promise<void>
  close(): Promise<void>
}

const errorsOnly = {
  info: () => undefined,
  warn: () => undefined,
  error: (message: string, fields?: object) => console.error(message, fields),
}

/** `engineSocket`: where the agent finds its engine, if not at the run's own. */
export async function startAgentFixture(engineSocket = inject('engineSocket')): Promise<AgentFixture> {
  const nats = await startNats()
  const controlPlane = await startScriptedControlPlane(nats)
  const stateDir = await mkdtemp(path.join(tmpdir(), 'dray-agent-'))
  const engine = createEngine({ socketPath: inject('engineSocket') })
  const environment = {
    DRAY_URL: controlPlane.url,
    DRAY_JOIN_TOKEN: 'join_x',
    DRAY_STATE: stateDir,
    DOCKER_HOST: `unix://${engineSocket}`,
    DRAY_INTERNET_NETWORK: 'none',
    DRAY_DRAIN_SECONDS: '5',
  }
  const start = (): Promise<Agent> => startAgent(loadConfig(environment), errorsOnly)
  const containers = (): Promise<ContainerSummary[]> => engine.listContainers([`dray.agent=${controlPlane.agentId}`])
  const fixture: AgentFixture = {
    nats,
    controlPlane,
    engine,
    stateDir,
    agent: await start(),
    startAgent: async () => (fixture.agent = await start()),
    containers,
    sh: (script) => ({ image: inject('busyboxImage'), command: ['sh', '-c', script], network: 'none' }),
    async finished(job) {
      await eventually(() => job.finish !== null, { deadlineMs: 15_000, what: `${job.key.job} is finished` })
      if (!job.finish) throw new Error('it is finished')
      return job.finish
    },
    async gone() {
      await eventually(async () => (await containers()).length === 0, {
        deadlineMs: 10_000,
        what: 'no container is left',
      })
    },
    async close() {
      await fixture.agent.close()
      for (const { id } of await containers()) await engine.removeContainer(id)
      await controlPlane[Symbol.asyncDispose]()
      await nats[Symbol.asyncDispose]()
      await rm(stateDir, { recursive: true, force: true })
    },
  }
  return fixture
}
