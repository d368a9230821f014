// A whole Dray for one test file: a real nats-server, a control plane and agents as processes of their own, on the
// shared engine of the run. Each part can be killed and started again on the same port and files.
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { inject } from 'vitest'
import { NODE_PROCESS_ENV } from '../../deploy/process-env.ts'
import { createClient, type Client } from '../../shared/client/create-client.ts'
import { eventually } from './eventually.ts'
import { freePort } from '../../deploy/free-port.ts'
import { manageProcess, type ManagedProcess } from './managed-process.ts'
import { startNats, type TestNats } from './nats-server.ts'
import type { SelfSigned } from './self-signed.ts'
import { preparePlane, type Plane, type Runtime } from './planes.ts'

const ROOT = path.join(import.meta.dirname, '..', '..')

export interface StackOptions {
  readonly agents: number
  /** Of the control plane; Node unless told. */
  readonly runtime?: Runtime
  readonly controlPlaneEnv?: Readonly<Record<string, string>>
  readonly isolatePerRequest?: boolean
  /** NATS speaks TLS with this certificate, and everybody trusts it. */
  readonly natsTls?: SelfSigned
  readonly agentEnv?: Readonly<Record<string, string>>
  readonly engineSocket?: string
}

export interface AgentOptions {
  readonly name: string
  readonly pool?: string
  readonly labels?: Readonly<Record<string, string>>
  readonly env?: Readonly<Record<string, string>>
  readonly args?: readonly string[]
}

export interface Stack {
  readonly url: string
  readonly token: string
  readonly client: Client
  readonly dir: string
  readonly nats: TestNats
  readonly controlPlane: ManagedProcess
  readonly plane: Plane
  readonly agents: readonly ManagedProcess[]
  startControlPlane(): Promise<void>
  /** One more on the same database and NATS, on a port of its own; ends with the stack. */
  addControlPlane(): Promise<{ readonly client: Client; readonly process: ManagedProcess }>
  /** Joins and waits until it is ready. */
  startAgent(options: AgentOptions): Promise<ManagedProcess>
  close(): Promise<void>
}

export async function startStack(options: StackOptions): Promise<Stack> {
  const dir = await mkdtemp(path.join(tmpdir(), 'dray-e2e-'))
  const { natsTls } = options
  const nats = await startNats({ tls: natsTls })
  const port = await freePort()
  const url = `http://127.0.0.1:${port}`
  const token = `dray_${Buffer.from(crypto.getRandomValues(new Uint8Array(32))).toString('base64url')}`
  const client = createClient({ url, token })
  const planeOn = (at: number): Promise<Plane> =>
    preparePlane(options.runtime ?? 'node', {
      dir,
      port: at,
      token,
      nats,
      env: options.controlPlaneEnv ?? {},
      isolatePerRequest: options.isolatePerRequest,
      trusted: natsTls?.pem,
    })
  const plane = await planeOn(port)
  const controlPlane = plane.process
  const others: Plane[] = []
  const agents: ManagedProcess[] = []
  const outputs = (): string =>
    [controlPlane, ...others.map((other) => other.process), ...agents].map((child) => child.output()).join('\n')
  const ready = async (at: string): Promise<void> => {
    const answers = async (): Promise<boolean> =>
      (await fetch(`${at}/readyz`, { signal: AbortSignal.timeout(1_000) })).ok
    await eventually(answers, { deadlineMs: 15_000, what: 'the control plane is ready' }).catch((error: unknown) => {
      throw new Error(outputs(), { cause: error })
    })
  }

  const stack: Stack = {
    url,
    token,
    client,
    dir,
    nats,
    controlPlane,
    plane,
    agents,
    async startControlPlane() {
      controlPlane.start()
      await ready(url)
    },
    async addControlPlane() {
      const at = await freePort()
      const other = await planeOn(at)
      others.push(other)
      other.process.start()
      await ready(`http://127.0.0.1:${at}`)
      return { client: createClient({ url: `http://127.0.0.1:${at}`, token }), process: other.process }
    },
    async startAgent(agent) {
      const child = manageProcess({
        name: `agent ${agent.name}`,
        command: process.execPath,
        args: agentArguments(url, path.join(dir, `agent-${agent.name}`), agent),
        env: {
          PATH: process.env['PATH'] ?? '',
          ...NODE_PROCESS_ENV,
          DOCKER_HOST: `unix://${options.engineSocket ?? inject('engineSocket')}`,
          DRAY_JOIN_TOKEN: (await client.createJoinToken({})).token,
          DRAY_INTERNET_NETWORK: 'none',
          DRAY_DRAIN_SECONDS: '10',
          ...(natsTls ? { NODE_EXTRA_CA_CERTS: natsTls.certFile } : {}),
          ...options.agentEnv,
          ...agent.env,
        },
      })
      agents.push(child)
      child.start()
      const listed = async (): Promise<boolean> =>
        (await client.agents()).items.some(({ name, state }) => name === agent.name && state === 'ready')
      await eventually(listed, { deadlineMs: 15_000, what: `agent ${agent.name} is ready` }).catch((error: unknown) => {
        throw new Error(outputs(), { cause: error })
      })
      return child
    },
    async close() {
      // SIGTERM, not SIGKILL: a container is removed only after its last updates are stored, just after its job's end.
      await Promise.all(agents.map((child) => child.stop('SIGTERM')))
      await Promise.all([plane, ...others].map((one) => one.close()))
      await nats[Symbol.asyncDispose]()
      await rm(dir, { recursive: true, force: true })
    },
  }
  try {
    await stack.startControlPlane()
    for (let index = 0; index < options.agents; index++) await stack.startAgent({ name: `agent-${index + 1}` })
  } catch (error) {
    await stack.close()
    throw error
  }
  return stack
}

function agentArguments(url: string, state: string, agent: AgentOptions): string[] {
  const labels = Object.entries(agent.labels ?? {}).flatMap(([key, value]) => ['--label', `${key}=${value}`])
  const pool = agent.pool === undefined ? [] : ['--pool', agent.pool]
  return [
    path.join(ROOT, 'cli/main.ts'),
    'agent',
    '--url',
    url,
    '--state',
    state,
    '--name',
    agent.name,
    ...pool,
    ...labels,
    ...(agent.args ?? []),
  ]
}
