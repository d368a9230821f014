// What a schedule over several regions has beside the ordinary world: a replica next to each control plane and the way to
// the primary behind it, keys that are read with each call of a client, what is probed, and what is measured.
import type { Post } from '../../runner-agent/http-post.ts'
import type { JobStore } from '../../control-plane/core/ports.ts'
import { AppError } from '../../shared/errors.ts'
import { TENANT, type ClientWorld } from './client.ts'
import type { ControlPlane } from './control-plane.ts'
import type { Geography } from './geography.ts'
import type { ReadFrame } from './history.ts'
import type { Hooks } from './hooks.ts'
import { createHost, createProc, type Host, type Loop, type Proc } from './loop.ts'
import type { Prng } from './prng.ts'
import { probeJob, probeKey, untilListed } from './region-probes.ts'
import { HOME, roundTripMs, type RegionsPlan, type ReplicaPlan } from './regions.ts'
import type { SimStore } from './sim-store.ts'
import type { Measured, Sample } from './stopwatch.ts'
import { linkStore, NO_TROUBLES, type StoreLinkOptions } from './store-link.ts'
import { startReplica } from './store-replica.ts'
import { EPOCH_MS } from './virtual-globals.ts'

export interface RegionWorld {
  readonly samples: Sample[]
  /** The database as the control plane on this host has it. */
  readonly linkStore: (host: Host) => JobStore
  readonly measureClaims: (post: Post) => Post
  /** What http/ does before a client's call: its key is read. */
  readonly admit: (plane: ControlPlane) => Promise<void>
  readonly onFrame: (client: Proc, job: string, frame: ReadFrame) => void
  /** A job was accepted: what is looked at then. */
  readonly submitted: (client: Proc, world: ClientWorld, job: string, beganMs: number) => Promise<void>
  readonly cancelled: (world: ClientWorld, job: string) => Promise<void>
  readonly probeKeys: (world: ClientWorld) => Promise<void>
}

export interface RegionWorldOptions {
  readonly plan: RegionsPlan
  readonly loop: Loop
  readonly random: Prng
  readonly geography: Geography
  readonly database: SimStore
  readonly link: StoreLinkOptions
  readonly hooks: Hooks
}

const CLIENT_KEY = 'key-of-all-clients'

export function createRegionWorld(options: RegionWorldOptions): RegionWorld {
  const { plan, loop, geography, database } = options
  const key = { tenant: TENANT, role: 'tenant', name: null, createdAtMs: EPOCH_MS, expiresAtMs: null } as const
  database.tables.keys.set(CLIENT_KEY, { record: { ...key, id: CLIENT_KEY }, hash: CLIENT_KEY })
  const samples: Sample[] = []
  const submittedMs = new Map<string, number>()
  const note = (what: Measured, host: Host, ms: number): void => {
    if (plan.isCalm) samples.push({ what, region: geography.regionOf(host), ms })
  }
  return {
    samples,
    linkStore: regionalStores(options),
    measureClaims: (post) => async (path, headers, body, signal) => {
      const { host } = loop.current
      const beganMs = loop.nowMs
      const answer = await post(path, headers, body, signal)
      if (path.endsWith('/claim') && answer.status === 200) note('claim', host, loop.nowMs - beganMs)
      return answer
    },
    async admit({ store }) {
      if (!(await store.keyByHash(CLIENT_KEY))) throw new AppError('unauthenticated', 'The key is not known.')
    },
    onFrame({ host }, job, { kind }) {
      const name = `${host.name} ${job}`
      const beganMs = submittedMs.get(name)
      if (kind !== 'update' || beganMs === undefined) return
      submittedMs.delete(name)
      note('first_update', host, loop.nowMs - beganMs)
    },
    async submitted({ host }, world, job, beganMs) {
      note('submit', host, loop.nowMs - beganMs)
      submittedMs.set(`${host.name} ${job}`, beganMs)
      const answeredMs = loop.nowMs
      await probeJob(world, job)
      if (!plan.isCalm) return
      await untilListed(world, job)
      note('listed', host, loop.nowMs - answeredMs)
    },
    cancelled: (world, job) => probeJob(world, job, true),
    probeKeys: probeKey,
  }
}

function regionalStores({ plan, loop, random, geography, database, link, hooks }: RegionWorldOptions) {
  const replicas = plan.replicas.map((replica: ReplicaPlan, region) => {
    const wayMs = roundTripMs(HOME, region) / 2
    const proc = createProc(`replica${region}`, createHost(`replica${region}`))
    const now = (): number => EPOCH_MS + Math.floor(loop.nowMs)
    const primary = { primary: database.tables, primaryProc: link.database }
    return { proc, store: startReplica({ loop, random, proc, wayMs, plan: replica, now, ...primary }) }
  })
  return (host: Host): JobStore => {
    const region = geography.regionOf(host)
    const far = linkStore(database.store, { ...link, wayMs: roundTripMs(HOME, region) / 2 })
    const replica = replicas[region]
    if (!replica) return far
    const near = linkStore(replica.store, { ...link, database: replica.proc, troubles: NO_TROUBLES })
    return hooks.twoStores(far, near)
  }
}
