// What the three children of a stack are: their command lines, their environment (secrets travel there, never in argv),
// and how one sees that each can be used.

import { chmodSync, mkdirSync, writeFileSync } from 'node:fs'
import { connect } from 'node:net'
import { join } from 'node:path'
import { loadOrCreateIdentity } from '../../control-plane/bus/identity-file.ts'
import { natsServerConfig } from '../../control-plane/bus/server-config.ts'
import type { Engine } from '../../deploy/engine.ts'
import { tryCommand } from '../../deploy/engine-process.ts'
import { NATS_SERVER_ENV, NODE_PROCESS_ENV } from '../../deploy/process-env.ts'
import { findNatsServer } from '../../deploy/tools.ts'
import type { Client } from '../../shared/client/create-client.ts'
import { openBoundedLog, type BoundedLog } from './bounded-log.ts'
import type { ChildSpec } from './child.ts'
import type { StackPlan } from './stack-plan.ts'

const root = join(import.meta.dirname, '..', '..')
const watchParent = join(import.meta.dirname, 'parent-watch.ts')

/** JetStream may take this much; the stream itself is given less, because the server writes before it drops. */
const maxStoreBytes = 4 * 2 ** 30

export async function natsChild(plan: StackPlan): Promise<ChildSpec> {
  const { folder, host, natsPort } = plan
  const identity = await loadOrCreateIdentity(identityPath(plan))
  const configPath = folder.path('nats', 'nats.conf')
  const storeDir = folder.path('nats', 'store')
  const resolverDir = folder.path('nats', 'accounts')
  for (const dir of [storeDir, resolverDir]) mkdirSync(dir, { recursive: true, mode: 0o700 })
  writeFileSync(configPath, natsServerConfig({ identity, port: natsPort, host, storeDir, resolverDir, maxStoreBytes }))
  chmodSync(configPath, 0o600)
  return {
    name: 'nats',
    command: await endingWithUs([await findNatsServer(plan.env), '--config', configPath]),
    env: { ...NATS_SERVER_ENV, ...plainEnv(plan) },
    log: logOf(plan, 'nats'),
    ready: () => greets(natsPort, host),
    stopDeadlineMs: 8_000,
  }
}

export function controlPlaneChild(plan: StackPlan): ChildSpec {
  const { folder } = plan
  return {
    name: 'control-plane',
    command: [...nodeCommand(), join(root, 'control-plane', 'entry', 'node.ts')],
    env: {
      ...NODE_PROCESS_ENV,
      ...plainEnv(plan),
      DRAY_HOST: plan.host,
      DRAY_PORT: String(plan.httpPort),
      DRAY_STATE_DIR: folder.dir,
      DRAY_DATABASE_URL: `file:${folder.path('dray.db')}`,
      DRAY_NATS_URLS: plan.natsUrl,
      DRAY_NATS_IDENTITY_FILE: identityPath(plan),
      DRAY_ADMIN_TOKEN: plan.token,
    },
    log: logOf(plan, 'control-plane'),
    ready: async () => (await fetch(`${plan.url}/readyz`, { signal: AbortSignal.timeout(1_000) })).ok,
    stopDeadlineMs: 8_000,
  }
}

export interface AgentNeeds {
  readonly client: Client
  readonly joinToken: string
  readonly socketPath: string
  readonly network: Engine['network'] | undefined
  readonly image: string
}

/** How long running jobs may go on after Ctrl-C; they then wait for the next `up`, except in an engine that ends with us. */
const drainSeconds = 3

export function agentChild(plan: StackPlan, needs: AgentNeeds): ChildSpec {
  const startedMs = Date.now()
  return {
    name: 'agent',
    command: [
      ...nodeCommand(),
      join(root, 'cli', 'main.ts'),
      'agent',
      '--url',
      plan.url,
      '--state',
      plan.folder.path('agent'),
      '--name',
      'local',
    ],
    env: {
      ...NODE_PROCESS_ENV,
      DOCKER_IMAGE: needs.image,
      DRAY_DRAIN_SECONDS: String(drainSeconds),
      ...(needs.network === 'none' ? { DRAY_INTERNET_NETWORK: 'none' } : {}),
      ...plan.env,
      ...withoutAddress,
      DOCKER_HOST: `unix://${needs.socketPath}`,
      DRAY_JOIN_TOKEN: needs.joinToken,
    },
    log: logOf(plan, 'agent'),
    async ready() {
      const { items } = await needs.client.agents()
      return items.some(
        ({ state, last_seen_at: seen }) => state === 'ready' && seen !== undefined && Date.parse(seen) >= startedMs,
      )
    },
    stopDeadlineMs: (drainSeconds + 8) * 1_000,
  }
}

/** Whoever starts us may have DRAY_URL and DRAY_TOKEN of another control plane in the environment. */
const withoutAddress = { DRAY_URL: undefined, DRAY_TOKEN: undefined, DRAY_STATE: undefined }

function plainEnv(plan: StackPlan): Record<string, string | undefined> {
  return { ...plan.env, ...withoutAddress }
}

function identityPath(plan: StackPlan): string {
  return plan.folder.path('nats', 'identity.json')
}

function logOf(plan: StackPlan, name: string): BoundedLog {
  return openBoundedLog(plan.folder.path('logs', `${name}.log`))
}

/** Node 24 says that running TypeScript is new; our logs need not. */
function nodeCommand(): string[] {
  return [process.execPath, '--disable-warning=ExperimentalWarning', '--import', watchParent]
}

/** The kernel ends the program with us where it can be asked to; elsewhere a small process of ours watches. */
async function endingWithUs(command: readonly string[]): Promise<string[]> {
  const prefix = ['--pdeathsig', 'TERM', '--']
  if ((await tryCommand('setpriv', [...prefix, 'true'])) !== undefined) return ['setpriv', ...prefix, ...command]
  return [process.execPath, join(import.meta.dirname, 'watched.ts'), ...command]
}

/** A nats-server sends INFO to whoever connects. */
function greets(port: number, host: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ port, host: host === '0.0.0.0' ? '127.0.0.1' : host, timeout: 1_000 })
    const end = (answer: boolean): void => {
      socket.destroy()
      resolve(answer)
    }
    socket.once('data', (data) => end(data.toString('latin1').startsWith('INFO ')))
    socket
      .once('error', () => end(false))
      .once('timeout', () => end(false))
      .once('close', () => end(false))
  })
}
