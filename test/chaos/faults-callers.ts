// Faults that callers make: consumers deleted under their readers, run commands sent again and to the wrong agents, storms
// of cancels, clients that do not read.

import { UPDATES_STREAM, runSubject } from '../../shared/subjects.ts'
import { dialNats, openManager } from '../../control-plane/bus/nats-dial.ts'
import type { History } from './history.ts'
import { ENDS } from './job-book.ts'
import { cancel } from './load.ts'
import type { Fault } from './nemesis.ts'
import type { Seeded } from './seeded.ts'
import type { Stage } from './stage.ts'
import { watchWithoutReading, type FollowerOptions } from './followers.ts'

const STORM = 12
const REPEATS = 3

export function callerFaults(options: FollowerOptions): Fault[] {
  const { stage, history } = options
  return [
    {
      kind: 'consumers_deleted',
      weight: 2,
      targets: [{ name: 'nats', takes: ['consumers'], act: () => deleteConsumers(stage) }],
    },
    {
      kind: 'run_repeated',
      weight: 2,
      targets: [{ name: 'agents', takes: [], act: (random) => repeatRuns(options, random) }],
    },
    {
      kind: 'cancel_storm',
      weight: 1,
      targets: [{ name: 'jobs', takes: [], act: (random) => cancelStorm(options, history, random) }],
    },
    {
      kind: 'slow_client',
      weight: 2,
      targets: [{ name: 'clients', takes: [], act: (random) => slowClients(options, random) }],
    },
  ]
}

async function deleteConsumers(stage: Stage): Promise<void> {
  await withNats(stage, async (connection) => {
    const manager = await openManager(connection)
    for await (const { name } of manager.consumers.list(UPDATES_STREAM))
      // It may have ended by itself meanwhile.
      await manager.consumers.delete(UPDATES_STREAM, name).catch(() => undefined)
  })
}

/** Commands for jobs that run, have ended, and belong elsewhere: a command only says "claim this". */
async function repeatRuns({ stage, book }: FollowerOptions, random: Seeded): Promise<void> {
  await withNats(stage, async (connection) => {
    const jobs = book.all.slice(-60)
    for (const { id, plan } of jobs.filter(() => random.chance(0.4)))
      for (let time = 0; time < REPEATS; time += 1) {
        const command = { tenant: plan.tenant, job: id, attempt: random.int(1, 3), image: null }
        connection.publish(runSubject(random.pick(stage.agents).id), JSON.stringify(command))
      }
    await connection.flush()
  })
}

/** Another fault may have NATS: then this one does no harm. */
async function withNats(
  stage: Stage,
  work: (connection: Awaited<ReturnType<typeof dialNats>>) => Promise<void>,
): Promise<void> {
  const options = {
    urls: [stage.natsUrl],
    credentials: stage.identity.controlPlaneUser,
    name: 'nemesis',
    reconnect: false,
  }
  const errand = async (): Promise<void> => {
    const connection = await dialNats(options)
    try {
      await work(connection)
    } finally {
      await connection.close()
    }
  }
  await Promise.race([errand(), new Promise((resolve) => setTimeout(resolve, 3_000))]).catch(() => undefined)
}

async function cancelStorm({ book, tenants }: FollowerOptions, history: History, random: Seeded): Promise<void> {
  const live = book.all.filter(({ status }) => !ENDS.has(status)).slice(-STORM)
  const storm = live.flatMap((job) => {
    const calls = tenants.find(({ tenant }) => tenant.name === job.plan.tenant)
    return calls ? Array.from({ length: random.int(1, 3) }, () => cancel(history, calls, job.id)) : []
  })
  await Promise.all(storm)
}

async function slowClients(options: FollowerOptions, random: Seeded): Promise<void> {
  const large = options.book.all
    .slice(-400)
    .toSorted((a, b) => b.plan.lines - a.plan.lines)
    .slice(0, 8)
  await watchWithoutReading(options, large, random.between(3_000, 14_000))
}
