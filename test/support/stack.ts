// A whole Dray for one test file: a real nats-server, a control plane and agents as processes of their own, on the
// shared engine of the run. Each part can be killed and started again on the same port and files.
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { inject } from 'vitest'
import { createClient, type Client } from '../../shared/client/create-client.ts'
import { eventually } from './eventually.ts'
import { freePort } from './free-port.ts'
import { manageProcess, type ManagedProcess } from './managed-process.ts'
import { startNats, type TestNats } from './nats-server.ts'

const ROOT = path.join(import.meta.dirname, '..', '..')

export interface StackOptions {
  readonly agents: number
  readonly controlPlaneEnv?: Readonly<Record<string, string>>
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
  const nats = await startNats()
  const port = await freePort()
  const url = `http://127.0.0.1:${port}`
  const token = `dray_${Buffer.from(crypto.getRandomValues(new Uint8Array(32))).toString('base64url')}`
  const client = createClient({ url, token })
  const identityFile = path.join(dir, 'identity.json')
  await writeFile(identityFile, JSON.stringify(nats.identity), { mode: 0o600 })
  const controlPlaneOn = (at: number): ManagedProcess =>
    manageProcess({
      name: 'control plane',
      command: process.execPath,
      args: [path.join(ROOT, 'control-plane/entry/node.ts')],
      env: {
        PATH: process.env['PATH'] ?? '',
        DRAY_HOST: '127.0.0.1',
        DRAY_PORT: String(at),
        DRAY_STATE_DIR: dir,
        DRAY_DATABASE_URL: `file:${path.join(dir, 'dray.db')}`,
        DRAY_NATS_URLS: nats.url,
        DRAY_NATS_IDENTITY_FILE: identityFile,
        DRAY_ADMIN_TOKEN: token,
        // Below what the test's nats-server may store.
        DRAY_UPDATES_MAX_BYTES: '400m',
        DRAY_LOG_LEVEL: 'warn',
        ...options.controlPlaneEnv,
      },
    })
  const controlPlane = controlPlaneOn(port)
  const others: ManagedProcess[] = []
  const agents: ManagedProcess[] = []
  const outputs = (): string => [controlPlane, ...others, ...agents].map((child) => child.output()).join('\n')
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
    agents,
    async startControlPlane() {
      controlPlane.start()
      await ready(url)
    },
    async addControlPlane() {
      const at = await freePort()
      const other = controlPlaneOn(at)
      others.push(other)
      other.start()
      await ready(`http://127.0.0.1:${at}`)
      return { client: createClient({ url: `http://127.0.0.1:${at}`, token }), process: other }
    },
    async startAgent(agent) {
      const child = manageProcess({
        name: `agent ${agent.name}`,
        command: process.execPath,
        args: agentArguments(url, path.join(dir, `agent-${agent.name}`), agent),
        env: {
          PATH: process.env['PATH'] ?? '',
          DOCKER_HOST: `unix://${options.engineSocket ?? inject('engineSocket')}`,
          DRAY_JOIN_TOKEN: (await client.createJoinToken({})).token,
          DRAY_INTERNET_NETWORK: 'none',
          DRAY_DRAIN_SECONDS: '10',
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
      await Promise.all([controlPlane, ...others].map((child) => child.stop()))
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
