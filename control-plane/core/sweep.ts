// Portable: Web APIs only.
//
// What time does to jobs: the only place where waiting has consequences. All ages are by the database's clock. A sweep
// that finds that nobody swept for a term judges nothing: it gave every lease a fresh term instead (DESIGN 4, blindness).
import { willRetry } from '../../shared/job-machine.ts'
import type { JobRecord } from '../../shared/job.ts'
import { applyEvent } from './apply-event.ts'
import type { CoreContext } from './deps.ts'
import type { JobKey } from './ports.ts'
import { SURE_MS } from './sure-term.ts'

/** An assignment that was not claimed is sent again after this long … */
const RESEND_AFTER_MS = 1_000
/** … and taken back after this long. */
const UNCLAIMED_MS = 5_000
/** Rows of each kind in one sweep; the next sweep takes the rest. */
const SWEEP_LIMIT = 200
/** At least this may lie between two sweeps of a control plane that watches. */
const SWEEPS_APART_MS = 3_500

/** `mayJudge`: whether leases may run out (sweep-watch.ts). */
export async function sweep(core: CoreContext, mayJudge = true): Promise<void> {
  const view = await core.store.beginSweep({ termMs: blindAfterMs(core.config.leaseMs), limit: SWEEP_LIMIT })
  for (const { record, waitedMs } of view.unclaimed) await settleUnclaimed(core, record, waitedMs)
  if (mayJudge) for (const record of view.lapsed) await lapse(core, record)
  for (const { record, silentMs } of view.reconnecting) await settleSilent(core, record, silentMs)
  for (const record of view.expired) await applyEvent(core, keyOf(record), { event: { type: 'expired' } }, record)
  if (view.queuedCount > 0) core.pokeScheduler()
}

/**
 * After how long an absence nothing is judged. A whole lease would be too long: of an agent that beats each third of it,
 * two thirds are left in the worst case, and no time to be heard again. Sweeps themselves come every two or three seconds.
 */
function blindAfterMs(leaseMs: number): number {
  return Math.max(SWEEPS_APART_MS, (leaseMs * 2) / 3)
}

function keyOf(record: JobRecord): JobKey {
  return { tenant: record.state.tenant, job: record.state.id }
}

async function settleUnclaimed(core: CoreContext, record: JobRecord, waitedMs: number): Promise<void> {
  const { assignment } = record.state
  if (!assignment || waitedMs < RESEND_AFTER_MS) return
  const key = keyOf(record)
  if (waitedMs < UNCLAIMED_MS) {
    core.bus.publishRun(assignment.agent, { ...key, attempt: assignment.attempt, image: record.spec.image ?? null })
    return
  }
  const reason = `agent "${assignment.agent}" did not claim it in time`
  await applyEvent(core, key, { event: { type: 'unassigned', attempt: assignment.attempt, reason }, reason }, record)
}

async function lapse(core: CoreContext, record: JobRecord): Promise<void> {
  const { assignment } = record.state
  if (!assignment) return
  const reason = `the lease of agent "${assignment.agent}" ran out`
  const event = { type: 'lapsed', attempt: assignment.attempt, reason } as const
  const applied = await applyEvent(
    core,
    keyOf(record),
    { event, reason, guard: { kind: 'lease_expired', agent: assignment.agent } },
    record,
  )
  if (applied.kind === 'applied') await settleSilent(core, { ...record, state: applied.state }, 0)
}

/**
 * A silent attempt: queued again where the job allows it, else given up once its container must be gone. At once where the
 * lease of its agent ran out: no reader trusts a row for longer than that. Else (its agent does not list it, or was
 * deleted) an older process or the deleted agent may still speak for it, and readers trust an old row for SURE_MS.
 */
async function settleSilent(core: CoreContext, record: JobRecord, silentMs: number): Promise<void> {
  const { state, spec } = record
  if (!state.assignment) return
  const goneAfterMs = spec.lost_after_seconds * 1000 + core.config.leaseMs
  const nobodyIsSure = record.leaseLeftMs === 0 || silentMs >= SURE_MS
  const mayRetryNow = nobodyIsSure && willRetry(state, 'agent_lost') && !state.retries.exclusive
  if (!mayRetryNow && silentMs < goneAfterMs) return
  await applyEvent(
    core,
    keyOf(record),
    { event: { type: 'lost', attempt: state.assignment.attempt }, reason: 'agent_lost' },
    record,
  )
}
