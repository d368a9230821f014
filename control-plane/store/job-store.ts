// The ports `JobStore` and `StreamLedger` over any `Db`: every method is one call of read or write, so one round trip.
import { sql } from 'drizzle-orm'
import type { JobStore } from '../core/ports.ts'
import type { StreamLedger } from '../core/stream-ledger.ts'
import { agentAndJob, deleteAgent, joinAgent, leaveAgent, listAgents, readAgent, setAgentFlags } from './agents.ts'
import { recordBeat } from './beats.ts'
import type { Db } from './db.ts'
import { commit } from './jobs-commit.ts'
import { createJob } from './jobs-create.ts'
import { commitPlan, readScheduleView } from './jobs-plan.ts'
import { jobsOnAgent, listJobs, queuePosition, readJob, readTransitions } from './jobs-read.ts'
import { createJoinToken, createKey, deleteKey, hasKeys, keyByHash, listKeys } from './keys.ts'
import { readMetrics } from './metrics.ts'
import { lastStream, noteStream } from './streams.ts'
import { beginSweep } from './sweep.ts'

export function createJobStore(db: Db): JobStore & StreamLedger {
  return {
    createJob: (job) => createJob(db, job),
    readJob: (key) => readJob(db, key),
    readTransitions: (key) => readTransitions(db, key),
    listJobs: (filter) => listJobs(db, filter),
    queuePosition: (record) => queuePosition(db, record),
    commit: (change) => commit(db, change),
    commitPlan: (schedulerRev, changes) => commitPlan(db, schedulerRev, changes),

    readScheduleView: (limit) => readScheduleView(db, limit),
    beginSweep: (options) => beginSweep(db, options),

    joinAgent: (agent, joinTokenHash) => joinAgent(db, agent, joinTokenHash),
    recordBeat: (beat) => recordBeat(db, beat),
    agentAndJob: (keyHash, job) => agentAndJob(db, keyHash, job),
    readAgent: (id) => readAgent(db, id),
    listAgents: (page) => listAgents(db, page),
    jobsOnAgent: (agent) => jobsOnAgent(db, agent),
    setAgentFlags: (id, flags) => setAgentFlags(db, id, flags),
    leaveAgent: (id, session) => leaveAgent(db, id, session),
    deleteAgent: (id) => deleteAgent(db, id),

    keyByHash: (hash) => keyByHash(db, hash),
    createKey: (key, hash) => createKey(db, key, hash),
    listKeys: (tenant) => listKeys(db, tenant),
    deleteKey: (id) => deleteKey(db, id),
    hasKeys: () => hasKeys(db),
    createJoinToken: (token, hash) => createJoinToken(db, token, hash),

    lastStream: () => lastStream(db),
    noteStream: (before, now) => noteStream(db, before, now),

    metrics: () => readMetrics(db),
    async ping() {
      await db.read([sql`SELECT rev FROM scheduler WHERE id = 1`])
    },
    close: () => db.close(),
  }
}
