// Portable: Web APIs only.
//
// Puts the parts of the core together. Owns two pieces of background work: the scheduler's run and the sweep; both end
// with close().
import { sha256Hex } from '../../shared/ids.ts'
import * as agentCalls from './agent-calls.ts'
import * as agents from './agents.ts'
import type { Caller, Core } from './core.ts'
import * as credentials from './credentials.ts'
import type { CoreContext, CoreDeps } from './deps.ts'
import { heartbeat } from './heartbeat.ts'
import * as jobs from './jobs.ts'
import { createPace, type Pace } from './pace.ts'
import type { JobKey } from './ports.ts'
import { createScheduler, type Scheduler } from './scheduler.ts'
import { createSweepWatch, JUDGES_AT_ONCE, type SweepWatch } from './sweep-watch.ts'
import { sweep } from './sweep.ts'

export const SWEEP_EVERY_MS = 2_000

/** `sharedPace`: of sweeps, where one process has many cores (workerd makes one for each request). */
export function createCore(deps: CoreDeps, sharedPace?: Pace): Core {
  const context: CoreContext = {
    ...deps,
    hint: (key) => deps.bus.publishHint(key),
    pokeScheduler: () => scheduler.poke(),
  }
  const scheduler: Scheduler = createScheduler(context)
  const sweeper = sharedPace
    ? createSweeper(context, sharedPace, JUDGES_AT_ONCE)
    : createSweeper(context, createPace(SWEEP_EVERY_MS), createSweepWatch())
  return {
    submit: (spec, options) => jobs.submitJob(context, spec, options),
    showJob: (key) => jobs.showJob(context, key),
    listJobs: (filter) => jobs.listJobs(context, filter),
    cancelJob: (key, graceSeconds) => jobs.cancelJob(context, key, graceSeconds),
    retryJob: (key) => jobs.retryJob(context, key),
    authenticateAgent: (key, job) => authenticateAgent(deps, key, job),
    authenticateKey: async (key) => deps.store.keyByHash(await sha256Hex(key)),
    joinAgent: (body, session) => agentCalls.joinAgent(context, body, session),
    heartbeat: (call, body) => heartbeat(context, call, body),
    claim: (call, key, body) => agentCalls.claim(context, call, key, body),
    finish: (call, key, body) => agentCalls.finish(context, call, key, body),
    leave: (call) => agentCalls.leave(context, call),
    listAgents: (page) => agents.listAgents(context, page),
    showAgent: (id) => agents.showAgent(context, id),
    setAgent: (id, action) => agents.setAgent(context, id, action),
    deleteAgent: (id) => agents.deleteAgent(context, id),
    createKey: (options) => credentials.createKey(context, options),
    listKeys: () => deps.store.listKeys(null),
    deleteKey: (id) => credentials.deleteKey(context, id),
    createJoinToken: (options) => credentials.createJoinToken(context, options),
    metrics: () => deps.store.metrics(),
    readiness: () => readiness(deps),
    tick: () => sweeper.tick(),
    async close() {
      await sweeper.close()
      await scheduler.close()
    },
  }
}

async function authenticateAgent({ store }: CoreDeps, key: string, job: JobKey | undefined): Promise<Caller | null> {
  const [agent, record] = await store.agentAndJob(await sha256Hex(key), job ?? null)
  return agent && { agent, job: record }
}

/** At most one sweep at a time, at most one in two seconds, whoever asks. */
function createSweeper(core: CoreContext, pace: Pace, watch: SweepWatch): { tick(): void; close(): Promise<void> } {
  let running: Promise<void> | null = null
  let closed = false
  const run = async (): Promise<void> => {
    try {
      const beganMs = performance.now()
      await sweep(core, watch.mayJudge(beganMs))
      watch.swept(beganMs)
    } catch (error) {
      core.log.warn('a sweep failed', { error: String(error) })
    }
    running = null
  }
  return {
    tick() {
      if (closed || running || !pace.due(core.clock.nowMs())) return
      running = run()
    },
    async close() {
      closed = true
      await running
    },
  }
}

async function readiness({ store, bus }: CoreDeps): Promise<readonly string[]> {
  const reasons: string[] = []
  const natsReason = await bus.status()
  if (natsReason !== null) reasons.push(natsReason)
  try {
    await store.ping()
  } catch (error) {
    reasons.push(`database: ${error instanceof Error ? error.message : String(error)}`)
  }
  return reasons
}
