// A replica of the simulated database, as a libSQL server keeps one: it takes over the primary's state now and then, whole
// and never an older one again, may stand still for long, and answers from what it has. Its clock is right; its rows are
// old. Which calls it answers the product decides (SERVED_BY_REPLICAS); all others it hands on to the primary.
import type { JobStore } from '../../control-plane/core/ports.ts'
import type { Loop, Proc } from './loop.ts'
import type { Prng } from './prng.ts'
import type { ReplicaPlan } from './regions.ts'
import { createSimStore } from './sim-store.ts'
import { emptyTables, type AgentRow, type JobRow, type Tables } from './store-tables.ts'

/**
 * What control-plane/store asks by `glance`: test/contract/replica-database.test.ts holds the two together.
 */
export const SERVED_BY_REPLICAS: readonly (keyof JobStore)[] = ['listJobs', 'metrics']

export interface ReplicaOptions {
  readonly loop: Loop
  readonly random: Prng
  readonly primary: Tables
  readonly primaryProc: Proc
  readonly proc: Proc
  readonly wayMs: number
  readonly plan: ReplicaPlan
  readonly now: () => number
}

export function startReplica(options: ReplicaOptions): JobStore {
  const { loop, random, primary, primaryProc, proc, wayMs, plan, now } = options
  const tables = emptyTables()
  takeOver(tables, copyOf(primary))
  const sync = (): void => {
    const { standsStill } = plan
    const isStill =
      standsStill !== null && loop.nowMs >= standsStill.atMs && loop.nowMs < standsStill.atMs + standsStill.forMs
    if (!isStill) {
      const copy = copyOf(primary)
      loop.at(proc, wayMs, () => takeOver(tables, copy))
    }
    loop.at(primaryProc, plan.syncMs * (0.1 + 0.9 * random.next()), sync)
  }
  loop.at(primaryProc, 0, sync)
  return createSimStore({ now, tables }).store
}

/** The primary, but for the named calls. */
export function besideReplica(primary: JobStore, replica: JobStore, served = SERVED_BY_REPLICAS): JobStore {
  return { ...primary, ...Object.fromEntries(served.map((name) => [name, replica[name]])) }
}

function copyOf({ jobs, idempotency, agents, keys, joinTokens, sweep, schedulerRev }: Tables): Tables {
  return {
    jobs: mapped(jobs, copyJob),
    idempotency: mapped(idempotency, (row) => ({ ...row })),
    agents: mapped(agents, copyAgent),
    keys: new Map(keys),
    joinTokens: new Map(joinTokens),
    sweep: { ...sweep },
    schedulerRev,
  }
}

function copyJob(row: JobRow): JobRow {
  return { ...row, attempts: mapped(row.attempts, (attempt) => ({ ...attempt })), transitions: [...row.transitions] }
}

function copyAgent(row: AgentRow): AgentRow {
  return { ...row, sessions: new Set(row.sessions) }
}

function mapped<K, V>(map: ReadonlyMap<K, V>, copy: (value: V) => V): Map<K, V> {
  return new Map([...map].map(([key, value]) => [key, copy(value)]))
}

/** Into the maps that the store already holds. */
function takeOver(mine: Tables, copy: Tables): void {
  refill(mine.jobs, copy.jobs)
  refill(mine.idempotency, copy.idempotency)
  refill(mine.agents, copy.agents)
  refill(mine.keys, copy.keys)
  refill(mine.joinTokens, copy.joinTokens)
  Object.assign(mine.sweep, copy.sweep)
  mine.schedulerRev = copy.schedulerRev
}

function refill<K, V>(map: Map<K, V>, from: ReadonlyMap<K, V>): void {
  map.clear()
  for (const [key, value] of from) map.set(key, value)
}
