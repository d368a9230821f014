// Everything that runs: a nats-server and a database on disks of their own, two control planes on the one database, four
// agents with an engine each (two real, two of plain processes), and a link of ours in front of each connection. Every
// part is a real process with the settings of production, but for shorter leases.

import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { createIdentity, type NatsIdentity } from '../../control-plane/bus/nats-identity.ts'
import { createClient, type Client } from '../../shared/client/create-client.ts'
import { eventually } from '../support/eventually.ts'
import type { History } from './history.ts'
import type { Tenant } from './job-mix.ts'
import { openLink, type Link } from './link.ts'
import type { Part } from './part.ts'
import { agentPart, controlPlanePart, joined, NATS_PORT, natsPart, partMaker } from './stage-parts.ts'
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

const CONTROL_PLANE_PORTS = [8701, 8702] as const
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
    const place = { name: `cp-${number}`, dir, port, natsPort: toNats.port }
    const options = controlPlanePart({ ...place, databaseFile: database.databaseFile, token })
    return { url: `http://127.0.0.1:${port}`, port, toNats, part: part(options) }
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
      const agent = part(
        agentPart({ name, pool, state, port: toControlPlane.port, engineSocket: engine.socketPath, joinToken }),
      )
      const id = await joined(agent, state, toNats.port)
      const settled = part(agentPart({ name, pool, state, port: toControlPlane.port, engineSocket: engine.socketPath }))
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

async function upAndReady({ part, url }: StageControlPlane): Promise<void> {
  part.up()
  const ready = async (): Promise<boolean> => (await fetch(`${url}/readyz`, { signal: AbortSignal.timeout(1_000) })).ok
  await eventually(ready, { deadlineMs: 20_000, what: `${part.name} is ready` }).catch((error: unknown) => {
    throw new Error(part.log(), { cause: error })
  })
}

async function makeTenant(admin: Client, name: string): Promise<Tenant> {
  const marker = `m${Buffer.from(crypto.getRandomValues(new Uint8Array(9))).toString('hex')}`
  return { name, key: (await admin.createKey({ role: 'tenant', tenant: name })).token, marker }
}
