// The port JobStore in memory, with the semantics of control-plane/store: the same contract suite holds both
// (test/contract/sim-store.test.ts). It answers at once and never fails; store-link.ts puts a database that is away,
// slow, or fails before or after its commit in between.
import type { Change, JobStore } from '../../control-plane/core/ports.ts'
import * as fleet from './store-fleet.ts'
import * as jobs from './store-jobs.ts'
import { agentOf, emptyTables, recordOf, rowOf, type StoreContext, type Tables } from './store-tables.ts'

export interface SimStore {
  readonly store: JobStore
  readonly tables: Tables
}

export interface SimStoreOptions {
  readonly now: () => number
  /** A replica's, which somebody else fills. */
  readonly tables?: Tables
  readonly isLax?: boolean
  /** Each change of a job, in the moment of its commit. */
  readonly onChange?: StoreContext['onChange']
}

export function createSimStore(options: SimStoreOptions): SimStore {
  const { now, tables = emptyTables(), isLax = false, onChange = () => undefined } = options
  const context: StoreContext = { tables, now, isLax, onChange }
  return { store: { ...jobCalls(context), ...fleetCalls(context), ...keyCalls(context) }, tables }
}

type JobCalls = Pick<
  JobStore,
  | 'createJob'
  | 'readJob'
  | 'readTransitions'
  | 'listJobs'
  | 'queuePosition'
  | 'commit'
  | 'commitPlan'
  | 'readScheduleView'
  | 'jobsOnAgent'
>

function jobCalls(context: StoreContext): JobCalls {
  return {
    createJob: async (job) => jobs.createJob(context, job),
    async readJob(key) {
      const row = rowOf(context, key)
      return row ? recordOf(context, row) : null
    },
    readTransitions: async (key) => [...(rowOf(context, key)?.transitions ?? [])],
    listJobs: async (filter) => jobs.listJobs(context, filter),
    queuePosition: async (record) => jobs.queuePosition(context, record),
    commit: async (change: Change) => jobs.commit(context, change),
    commitPlan: async (rev, changes) => jobs.commitPlan(context, rev, changes),
    readScheduleView: async (limit) => jobs.readScheduleView(context, limit),
    jobsOnAgent: async (agent) => jobs.jobsOnAgent(context, agent),
  }
}

type FleetCalls = Pick<
  JobStore,
  | 'beginSweep'
  | 'joinAgent'
  | 'recordBeat'
  | 'agentAndJob'
  | 'readAgent'
  | 'listAgents'
  | 'setAgentFlags'
  | 'leaveAgent'
  | 'deleteAgent'
  | 'metrics'
>

function fleetCalls(context: StoreContext): FleetCalls {
  const { agents } = context.tables
  return {
    beginSweep: async (options) => fleet.beginSweep(context, options),
    joinAgent: async (agent, hash) => fleet.joinAgent(context, agent, hash),
    recordBeat: async (beat) => fleet.recordBeat(context, beat),
    async agentAndJob(hash, key) {
      const agent = [...agents.values()].find(({ keyHash }) => keyHash === hash)
      const job = key && rowOf(context, key)
      return [agent ? agentOf(context, agent) : null, job ? recordOf(context, job) : null]
    },
    async readAgent(id) {
      const row = agents.get(id)
      return row ? agentOf(context, row) : null
    },
    listAgents: async (page) => fleet.listAgents(context, page),
    setAgentFlags: async (id, flags) => fleet.setAgentFlags(context, id, flags),
    leaveAgent: async (id, session) => fleet.leaveAgent(context, id, session),
    deleteAgent: async (id) => agents.delete(id),
    metrics: async () => fleet.metrics(context),
  }
}

type KeyCalls = Omit<JobStore, keyof JobCalls | keyof FleetCalls>

function keyCalls({ tables, now }: StoreContext): KeyCalls {
  return {
    async keyByHash(hash) {
      const found = [...tables.keys.values()].find((key) => key.hash === hash)
      return found && (found.record.expiresAtMs === null || found.record.expiresAtMs > now()) ? found.record : null
    },
    async createKey(record, hash) {
      tables.keys.set(record.id, { record, hash })
    },
    listKeys: async (tenant) =>
      [...tables.keys.values()].map(({ record }) => record).filter((key) => tenant === null || key.tenant === tenant),
    deleteKey: async (id) => tables.keys.delete(id),
    hasKeys: async () => tables.keys.size > 0,
    async createJoinToken(token, hash) {
      tables.joinTokens.set(hash, token)
    },
    async ping() {},
    async close() {},
  }
}
