// Everything that runs: a nats-server and a database on disks of their own, two control planes on the one database, four
// agents with an engine each (two real, two of plain processes), and a link of ours in front of each connection. Every
// part is a real process with the settings of production, but for shorter leases.

import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { createIdentity, type NatsIdentity } from '../../control-plane/bus/nats-identity.ts'
import { natsServerConfig } from '../../control-plane/bus/server-config.ts'
import { findNatsServer } from '../../deploy/tools.ts'
import { createClient, type Client } from '../../shared/client/create-client.ts'
import { eventually } from '../support/eventually.ts'
import type { History } from './history.ts'
import type { Tenant } from './job-mix.ts'
import { openLink, type Link } from './link.ts'
import { createPart, type Part, type PartOptions } from './part.ts'
import { openVolume, type Volume } from './volume.ts'
import { startProcessEngine, startRealEngine, type StageEngine } from './stage-engines.ts'

export interface StageAgent {
  readonly id: string
  readonly part: Part
  readonly engine: StageEngine
  readonly toControlPlane: Link
  readonly toNats: Link
}

export interface StageControlPlane {
  readonly url: string
  readonly port: number
  readonly part: Part
  readonly toNats: Link
}

export interface Stage {
  readonly dir: string
  readonly identity: NatsIdentity
  readonly nats: Part
  readonly natsUrl: string
  readonly natsVolume: Volume
  readonly databaseVolume: Volume
  readonly databaseFile: string
  readonly controlPlanes: readonly [StageControlPlane, StageControlPlane]
  readonly agents: readonly StageAgent[]
  readonly links: readonly Link[]
  readonly tenants: readonly [Tenant, Tenant]
  /** To the first control plane, and to the second. */
  readonly admin: Client
  readonly otherAdmin: Client
  readonly parts: readonly Part[]
  close(): Promise<void>
}

export const LEASE_SECONDS = 4
const NATS_PORT = 4222
const CONTROL_PLANE_PORTS = [8701, 8702] as const
const ROOT = join(import.meta.dirname, '..', '..')
const AGENTS = [
  { name: 'real-1', pool: 'real' },
  { name: 'real-2', pool: 'real' },
  { name: 'quick-1', pool: 'quick' },
  { name: 'quick-2', pool: 'quick' },
] as const

export async function openStage(dir: string, history: History, say: (what: string) => void): Promise<Stage> {
  await using made = new AsyncDisposableStack()
  await mkdir(join(dir, 'logs'), { recursive: true })
  const part = partMaker(dir, history, made)
  const [natsVolume, databaseVolume] = await Promise.all([openVolume('nats', dir, 2048), openVolume('db', dir, 512)])
  for (const volume of [natsVolume, databaseVolume])
    made.defer(() => volume.close().catch(ignoreBecauseTheNamespaceEnds))
  const identity = await createIdentity()
  const nats = part(await natsPart(dir, natsVolume, identity))
  nats.up()
  const links: Link[] = []
  const link = async (name: string, port: number, targets: readonly number[]): Promise<Link> => {
    const opened = await openLink(name, port, rotating(targets))
    links.push(opened)
    return made.adopt(opened, (it) => it.close())
  }
  const token = `dray_${'a'.repeat(43)}`
  const database = { databaseVolume, databaseFile: join(databaseVolume.path, 'dray.db') }
  const controlPlane = async (port: number, number: number): Promise<StageControlPlane> => {
    const toNats = await link(`cp-${number}/nats`, 4300 + number, [NATS_PORT])
    const env = controlPlaneEnv({ dir, port, natsPort: toNats.port, databaseFile: database.databaseFile, token })
    const entry = join(ROOT, 'control-plane/entry/node.ts')
    return { url: `http://127.0.0.1:${port}`, port, toNats, part: part({ name: `cp-${number}`, args: [entry], env }) }
  }
  await writeFile(join(dir, 'identity.json'), JSON.stringify(identity), { mode: 0o600 })
  const first = await controlPlane(CONTROL_PLANE_PORTS[0], 1)
  await upAndReady(first)
  const second = await controlPlane(CONTROL_PLANE_PORTS[1], 2)
  await upAndReady(second)
  say('control planes are ready')
  const admin = createClient({ url: first.url, token })
  const agents = await Promise.all(
    AGENTS.map(async ({ name, pool }, index): Promise<StageAgent> => {
      const start = pool === 'real' ? startRealEngine : startProcessEngine
      const engine = made.adopt(await start(name, dir, part), (it) => it.close())
      const toControlPlane = await link(`${name}/cp`, 4400 + index, CONTROL_PLANE_PORTS)
      const toNats = await link(`${name}/nats`, 4500 + index, [NATS_PORT])
      const state = join(dir, name)
      const { token: joinToken } = await admin.createJoinToken({})
      const agent = part(agentPart({ name, pool, state, port: toControlPlane.port, engine, joinToken }))
      const id = await joined(agent, state, toNats.port)
      const settled = part(agentPart({ name, pool, state, port: toControlPlane.port, engine }))
      settled.up()
      return { id, part: settled, engine, toControlPlane, toNats }
    }),
  )
  await eventually(async () => (await admin.agents()).items.filter(({ state }) => state === 'ready').length === 4, {
    deadlineMs: 30_000,
    what: 'four agents are ready',
  })
  const tenants = (await Promise.all(['north', 'south'].map((name) => makeTenant(admin, name)))) as [Tenant, Tenant]
  say('agents are ready')
  const parts = [nats, first.part, second.part, ...agents.map(({ part: agent }) => agent), ...enginesParts(agents)]
  const all = made.move()
  return {
    dir,
    identity,
    nats,
    natsUrl: `nats://127.0.0.1:${NATS_PORT}`,
    natsVolume,
    ...database,
    controlPlanes: [first, second],
    agents,
    links,
    tenants,
    admin,
    otherAdmin: createClient({ url: second.url, token }),
    parts,
    close: () => all.disposeAsync(),
  }
}

export type MakePart = (options: Pick<PartOptions, 'name' | 'args' | 'env'> & { readonly command?: string }) => Part

function partMaker(dir: string, history: History, made: AsyncDisposableStack): MakePart {
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

function enginesParts(agents: readonly StageAgent[]): Part[] {
  return agents.flatMap(({ engine }) => (engine.part ? [engine.part] : []))
}

const ignoreBecauseTheNamespaceEnds = (): void => undefined

/** A load balancer's way: the next target first, the others when it refuses. */
function rotating(targets: readonly number[]): () => readonly number[] {
  let turn = 0
  return () => {
    turn += 1
    const at = turn % targets.length
    return [...targets.slice(at), ...targets.slice(0, at)]
  }
}

async function natsPart(dir: string, volume: Volume, identity: NatsIdentity) {
  const config = natsServerConfig({
    identity,
    port: NATS_PORT,
    storeDir: join(volume.path, 'store'),
    resolverDir: join(volume.path, 'accounts'),
    maxStoreBytes: 1536 << 20,
  })
  const file = join(dir, 'nats.conf')
  await writeFile(file, config)
  return { name: 'nats', command: await findNatsServer(), args: ['-c', file], env: {} }
}

function controlPlaneEnv(options: {
  dir: string
  port: number
  natsPort: number
  databaseFile: string
  token: string
}) {
  return {
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
}

async function upAndReady({ part, url }: StageControlPlane): Promise<void> {
  part.up()
  const ready = async (): Promise<boolean> => (await fetch(`${url}/readyz`, { signal: AbortSignal.timeout(1_000) })).ok
  await eventually(ready, { deadlineMs: 20_000, what: `${part.name} is ready` }).catch((error: unknown) => {
    throw new Error(part.log(), { cause: error })
  })
}

function agentPart(options: {
  name: string
  pool: string
  state: string
  port: number
  engine: StageEngine
  joinToken?: string
}) {
  const { name, pool, state, port, engine, joinToken } = options
  const words = ['--url', `http://127.0.0.1:${port}`, '--state', state, '--name', name, '--pool', pool]
  return {
    name: joinToken === undefined ? name : `${name}-joins`,
    args: [join(ROOT, 'cli/main.ts'), 'agent', ...words],
    env: {
      DOCKER_HOST: `unix://${engine.socketPath}`,
      DRAY_INTERNET_NETWORK: 'none',
      DRAY_DRAIN_SECONDS: '2',
      ...(joinToken === undefined ? {} : { DRAY_JOIN_TOKEN: joinToken }),
    },
  }
}

/** Joins, and then dials NATS through its own link: the control plane gives all agents one address. */
async function joined(agent: Part, state: string, natsPort: number): Promise<string> {
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

async function makeTenant(admin: Client, name: string): Promise<Tenant> {
  const marker = `m${Buffer.from(crypto.getRandomValues(new Uint8Array(9))).toString('hex')}`
  return { name, key: (await admin.createKey({ role: 'tenant', tenant: name })).token, marker }
}
