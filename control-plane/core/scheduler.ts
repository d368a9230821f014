// Portable: Web APIs only.
//
// Runs `plan` over one consistent view and commits its assignments, then wakes the agents. Any number of pokes while a
// run is under way make one more run. Each run is bounded by the view's limit. close() lets what was asked
// for run once more, because a process that ends right after a request (workerd) must not leave its job waiting.
import { transition } from '../../shared/job-machine.ts'
import { plan, type Plan } from '../../shared/schedule.ts'
import { applyEvent } from './apply-event.ts'
import type { CoreContext } from './deps.ts'
import type { Change, ScheduleView } from './ports.ts'

/** Queued jobs looked at in one run; of each pool; more than any fleet takes at once. */
const QUEUE_LIMIT = 500

export interface Scheduler {
  poke(): void
  /** Resolves when no run is under way. */
  close(): Promise<void>
}

export function createScheduler(core: CoreContext): Scheduler {
  let wanted = false
  let closed = false
  let running: Promise<void> | null = null

  const loop = async (): Promise<void> => {
    while (wanted) {
      wanted = false
      try {
        if ((await runOnce(core)) && !closed) wanted = true
      } catch (error) {
        // The sweep pokes again within seconds, so a database that is away is not a reason to spin here.
        core.log.warn('a scheduling run failed', { error: String(error) })
      }
    }
    running = null
  }

  return {
    poke() {
      if (closed) return
      wanted = true
      running ??= loop()
    },
    async close() {
      closed = true
      await running
    },
  }
}

/** One run. True where another one should follow at once: a rival planned too, or the view was not the whole queue. */
async function runOnce(core: CoreContext): Promise<boolean> {
  const view = await core.store.readScheduleView(QUEUE_LIMIT)
  if (view.queued.length === 0) return false
  const made = plan(view, core.config)
  await endUnsatisfiable(core, made)
  const winners = await commitAssignments(core, view, made)
  for (const { after } of winners) {
    const { assignment } = after
    if (!assignment) continue
    const image =
      made.assignments.find(({ job }) => job.state.id === after.id && job.state.tenant === after.tenant)?.job.spec
        .image ?? null
    core.bus.publishRun(assignment.agent, { tenant: after.tenant, job: after.id, attempt: assignment.attempt, image })
  }
  const lostSome = winners.length < made.assignments.length
  return lostSome || (winners.length > 0 && view.queued.length >= QUEUE_LIMIT)
}

async function commitAssignments(core: CoreContext, view: ScheduleView, made: Plan): Promise<readonly Change[]> {
  const changes: Change[] = []
  for (const { job, agent, gpus } of made.assignments) {
    const event = { type: 'assigned', agent, attempt: job.state.attempt + 1, gpus } as const
    const next = transition(job.state, event)
    if (next.ok) changes.push({ before: job.state, after: next.job, event })
  }
  return changes.length === 0 ? [] : core.store.commitPlan(view.schedulerRev, changes)
}

/** A job that no agent could ever run ends at once, unless it said how long it wants to wait. */
async function endUnsatisfiable(core: CoreContext, made: Plan): Promise<void> {
  for (const { job, why, unsatisfiable } of made.waiting) {
    if (!unsatisfiable || job.spec.queue_ttl_seconds !== undefined) continue
    await applyEvent(core, { tenant: job.state.tenant, job: job.state.id }, { event: { type: 'unsatisfiable', why } })
  }
}
