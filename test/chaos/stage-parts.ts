// The processes of the stage as they are started: command, settings, log. What differs from production is said here: the
// lease is shorter, and each agent dials NATS through a link of its own.

import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { NatsIdentity } from '../../control-plane/bus/nats-identity.ts'
import { natsServerConfig } from '../../control-plane/bus/server-config.ts'
import { NATS_SERVER_ENV, NODE_PROCESS_ENV } from '../../deploy/process-env.ts'
import { findNatsServer } from '../../deploy/tools.ts'
import { eventually } from '../support/eventually.ts'
import type { History } from './history.ts'
import { createPart, type Part, type PartOptions } from './part.ts'
import type { Volume } from './volume.ts'

export const NATS_PORT = 4222
const LEASE_SECONDS = 4
const ROOT = join(import.meta.dirname, '..', '..')

export type MakePart = (options: Pick<PartOptions, 'name' | 'args' | 'env'> & { readonly command?: string }) => Part

export function partMaker(dir: string, history: History, made: AsyncDisposableStack): MakePart {
  return (options) => {
    const part = createPart({
      command: process.execPath,
      ...options,
      env: { ...inherited(), ...options.env },
      logFile: join(dir, 'logs', `${options.name}.log`),
      onExit: (name, code, said) => history.note({ op: 'exit', part: name, code, said }),
    })
    return made.adopt(part, (it) => it.down('SIGKILL'))
  }
}

/** Beside the path, what marks a process as one of this run. */
function inherited(): Record<string, string> {
  return Object.fromEntries(['PATH', 'TMPDIR', 'DRAY_TEST_RUN'].map((name) => [name, process.env[name] ?? '']))
}

export async function natsPart(dir: string, volume: Volume, identity: NatsIdentity) {
  const config = natsServerConfig({
    identity,
    port: NATS_PORT,
    storeDir: join(volume.path, 'store'),
    resolverDir: join(volume.path, 'accounts'),
    maxStoreBytes: 1536 << 20,
  })
  const file = join(dir, 'nats.conf')
  await writeFile(file, config)
  return { name: 'nats', command: await findNatsServer(), args: ['-c', file], env: NATS_SERVER_ENV }
}

export function controlPlanePart(options: {
  name: string
  dir: string
  port: number
  natsPort: number
  databaseFile: string
  token: string
}) {
  const env = {
    ...NODE_PROCESS_ENV,
    DRAY_HOST: '127.0.0.1',
    DRAY_PORT: String(options.port),
    DRAY_STATE_DIR: join(options.dir, `cp-${options.port}`),
    DRAY_DATABASE_URL: `file:${options.databaseFile}`,
    DRAY_NATS_URLS: `nats://127.0.0.1:${options.natsPort}`,
    DRAY_NATS_IDENTITY_FILE: join(options.dir, 'identity.json'),
    DRAY_ADMIN_TOKEN: options.token,
    DRAY_UPDATES_MAX_BYTES: '1200m',
    DRAY_LEASE_SECONDS: String(LEASE_SECONDS),
    DRAY_LOG_LEVEL: 'info',
  }
  return { name: options.name, args: [join(ROOT, 'control-plane/entry/node.ts')], env }
}

export function agentPart(options: {
  name: string
  pool: string
  state: string
  port: number
  engineSocket: string
  joinToken?: string
}) {
  const { name, pool, state, port, engineSocket, joinToken } = options
  const words = ['--url', `http://127.0.0.1:${port}`, '--state', state, '--name', name, '--pool', pool]
  return {
    name: joinToken === undefined ? name : `${name}-joins`,
    args: [join(ROOT, 'cli/main.ts'), 'agent', ...words],
    env: {
      ...NODE_PROCESS_ENV,
      DOCKER_HOST: `unix://${engineSocket}`,
      DRAY_INTERNET_NETWORK: 'none',
      DRAY_DRAIN_SECONDS: '2',
      ...(joinToken === undefined ? {} : { DRAY_JOIN_TOKEN: joinToken }),
    },
  }
}

/** Joins, and then dials NATS through its own link: the control plane gives all agents one address. */
export async function joined(agent: Part, state: string, natsPort: number): Promise<string> {
  const file = join(state, 'membership.json')
  agent.up()
  const membership = await eventually(
    async () => JSON.parse(await readFile(file, 'utf8')) as { agent: string; nats: { urls: string[] } },
    { deadlineMs: 30_000, what: `${agent.name} has joined` },
  ).catch((error: unknown) => {
    throw new Error(agent.log(), { cause: error })
  })
  await agent.down('SIGKILL')
  membership.nats.urls = [`nats://127.0.0.1:${natsPort}`]
  await writeFile(file, JSON.stringify(membership), { mode: 0o600 })
  return membership.agent
}
