// Faults of the stores: the power cut of a disk, a full disk, a NATS store that is gone or older than it was, a database
// that another writer holds. A cut takes the disk as it was at one moment and kills who used it.

import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { cp, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Fault, FaultTarget } from './nemesis.ts'
import type { Part } from './part.ts'
import type { Stage } from './stage.ts'
import type { Volume } from './volume.ts'

export function storeFaults(stage: Stage): Fault[] {
  const { nats, natsVolume, databaseVolume } = stage
  const controlPlanes = stage.controlPlanes.map(({ part }) => part)
  const natsTakes = [nats.name, natsVolume.name]
  const databaseTakes = [...controlPlanes.map(({ name }) => name), databaseVolume.name]
  const everything = { name: 'both', takes: [...natsTakes, ...databaseTakes] }
  return [
    {
      kind: 'power_cut',
      weight: 7,
      targets: [
        { name: 'nats', takes: natsTakes, act: () => cutPower([natsVolume], [nats]) },
        { name: 'database', takes: databaseTakes, act: () => cutPower([databaseVolume], controlPlanes) },
        { ...everything, act: () => cutPower([natsVolume, databaseVolume], [nats, ...controlPlanes]) },
      ],
    },
    { kind: 'nats_wiped', weight: 1, targets: [{ name: 'nats', takes: natsTakes, act: () => wipe(stage) }] },
    {
      kind: 'nats_rolled_back',
      weight: 1,
      targets: [{ name: 'nats', takes: natsTakes, act: (random) => rollBack(stage, random.between(500, 4_000)) }],
    },
    { kind: 'disk_full', weight: 2, targets: fullDisks(stage, natsTakes, databaseTakes) },
    {
      kind: 'database_locked',
      weight: 2,
      targets: [
        {
          name: 'database',
          takes: [databaseVolume.name],
          act: (random) => lock(stage.databaseFile, random.between(500, 9_000)),
        },
      ],
    },
  ]
}

async function cutPower(volumes: readonly Volume[], users: readonly Part[]): Promise<void> {
  for (const user of users) user.freeze()
  await Promise.all(volumes.map((volume) => volume.cut()))
  await Promise.all(users.map((user) => user.down('SIGKILL')))
  for (const volume of volumes) await volume.restore()
  for (const user of users) user.up()
}

async function wipe({ nats, natsVolume }: Stage): Promise<void> {
  await nats.down('SIGKILL')
  await rm(join(natsVolume.path, 'store'), { recursive: true, force: true })
  nats.up()
}

/** As from a backup that is some seconds old. */
async function rollBack({ nats, natsVolume }: Stage, forMs: number): Promise<void> {
  const store = join(natsVolume.path, 'store')
  const older = join(natsVolume.path, 'older')
  await nats.down('SIGKILL')
  await rm(older, { recursive: true, force: true })
  await cp(store, older, { recursive: true }).catch(ignoreBecauseAFreshStoreIsNotThere)
  nats.up()
  await sleep(forMs)
  await nats.down('SIGKILL')
  await rm(store, { recursive: true, force: true })
  await cp(older, store, { recursive: true }).catch(ignoreBecauseAFreshStoreIsNotThere)
  await rm(older, { recursive: true, force: true })
  nats.up()
}

const ignoreBecauseAFreshStoreIsNotThere = (): void => undefined

function fullDisks(stage: Stage, natsTakes: readonly string[], databaseTakes: readonly string[]): FaultTarget[] {
  const { nats, natsVolume, databaseVolume } = stage
  return [
    {
      name: 'database',
      takes: [databaseTakes.at(-1) ?? ''],
      act: async (random) => {
        await databaseVolume.fill()
        await sleep(random.between(1_000, 6_000))
        await databaseVolume.free()
      },
    },
    {
      name: 'nats',
      takes: natsTakes,
      act: async (random) => {
        await natsVolume.fill()
        await sleep(random.between(1_000, 6_000))
        await natsVolume.free()
        // The server turns JetStream off when a write fails; whoever makes room starts it again.
        await nats.down('SIGTERM')
        nats.up()
      },
    },
  ]
}

async function lock(file: string, forMs: number): Promise<void> {
  const program = join(import.meta.dirname, 'lock-database.ts')
  const child = spawn(process.execPath, [program, file, String(Math.round(forMs))], { stdio: 'ignore' })
  await once(child, 'exit')
}
