// Planted bugs of the control plane and its database.
import type { Core } from '../../control-plane/core/core.ts'
import type { Change, JobKey, JobStore } from '../../control-plane/core/ports.ts'
import type { Grant } from '../../shared/agent-protocol.ts'
import { AppError } from '../../shared/errors.ts'
import { isTerminal, type JobState } from '../../shared/job.ts'
import type { Loop } from './loop.ts'
import type { Planted } from './planted-bug.ts'
import { EPOCH_MS } from './virtual-globals.ts'

const onStore = (wrap: (store: JobStore, loop: Loop) => Partial<JobStore>) => ({
  store: (store: JobStore, loop: Loop): JobStore => ({ ...store, ...wrap(store, loop) }),
})

const onCore = (wrap: (core: Core, store: JobStore) => Partial<Core>) => ({
  core: (core: Core, store: JobStore): Core => ({ ...core, ...wrap(core, store) }),
})

/** The rest of what a caller was promised, when nobody waits for it any more. */
function inBackground(work: Promise<unknown>): void {
  work.catch(() => undefined)
}

async function grantAnyway(core: Core, store: JobStore, key: JobKey, give: () => Promise<Grant>): Promise<Grant> {
  try {
    return await give()
  } catch (error) {
    const record = error instanceof AppError && error.code === 'fenced' ? await store.readJob(key) : null
    if (!record) throw error
    const resume = { n: 0, stdout_lines: 0, stderr_lines: 0, subject_seq: 0, session: null }
    const limits = { output_bytes: 2 ** 20, line_bytes: 2 ** 16 }
    const { spec } = record
    return {
      spec,
      env: {},
      secrets: {},
      limits,
      gpus: [],
      lost_after_seconds: spec.lost_after_seconds,
      cancel_requested: false,
      resume,
    }
  }
}

/** Leases as the wall clock of this control plane sees them. */
async function sweepByWallClock(store: JobStore, loop: Loop, options: Parameters<JobStore['beginSweep']>[0]) {
  const view = await store.beginSweep(options)
  const aheadMs = Date.now() - (EPOCH_MS + loop.nowMs)
  if (aheadMs < 6_000 || view.blind) return view
  const agents = await store.listAgents({ limit: 100, cursor: null })
  const jobs = await Promise.all(agents.items.map(({ id }) => store.jobsOnAgent(id)))
  const held = jobs.flat().filter(({ state }) => ['pulling', 'creating', 'running'].includes(state.phase))
  return { ...view, lapsed: held }
}

/** A job that was cancelled while it ran goes round once more, as if nobody had asked. */
function forgetCancel(change: Change): Change {
  const { before, after, event } = change
  const isEnd = event.type === 'lost' || event.type === 'finished'
  if (before.cancel === null || !isEnd || !isTerminal(after.status)) return change
  const again: JobState = {
    ...before,
    rev: before.rev + 1,
    status: 'starting',
    phase: 'queued',
    assignment: null,
    cancel: null,
  }
  return { ...change, after: again }
}

export const plantedInControlPlane: readonly Planted[] = [
  {
    name: 'claim-without-attempt-check',
    breaks: 'an attempt that does not count any more is granted all the same, and its container lives on',
    plant: () =>
      onCore((core, store) => ({
        claim: (call, key, body) => grantAnyway(core, store, key, () => core.claim(call, key, body)),
      })),
  },
  {
    name: 'finish-acked-before-commit',
    breaks: 'an agent is told that the end is recorded before it is, and forgets it',
    plant: () =>
      onCore((core) => ({
        finish(call, key, body) {
          inBackground(core.finish(call, key, body))
          return Promise.resolve()
        },
      })),
  },
  {
    name: 'submit-acked-before-commit',
    breaks: 'a client is told 201 for a job that a failing database never got',
    plant: () =>
      onStore((store) => ({
        async createJob(job) {
          inBackground(store.createJob(job))
          const record = {
            state: job.state,
            spec: job.spec,
            retryOf: job.retryOf,
            attempts: [],
            heldAttempts: [],
            leaseLeftMs: null,
          }
          return {
            kind: 'created',
            record: { ...record, createdAtMs: Date.now(), startedAtMs: null, finishedAtMs: null },
          }
        },
      })),
  },
  {
    name: 'no-compare-and-set',
    breaks: 'the last writer wins: an ended job is changed by whoever still had an older row in mind',
    plant: () => ({ isStoreLax: true }),
  },
  {
    name: 'terminal-overwrite',
    breaks: 'a cancel of a job that has ended makes it cancelled',
    plant: () => ({
      isStoreLax: true,
      ...onCore((core, store) => ({
        async cancelJob(key, graceSeconds) {
          const record = await store.readJob(key)
          const { state: before } = record ?? {}
          if (!before || before.status !== 'completed') return core.cancelJob(key, graceSeconds)
          const after = { ...before, rev: before.rev + 1, status: 'cancelled' as const }
          await store.commit({ before, after, event: { type: 'cancel_requested', graceSeconds: 0 } })
          return core.showJob(key)
        },
      })),
    }),
  },
  {
    name: 'lease-by-wall-clock',
    breaks: 'a control plane whose clock is ahead takes the leases of healthy agents for expired',
    plant: () =>
      onStore((store, loop) => ({
        beginSweep: (options) => sweepByWallClock(store, loop, options),
        commit: (change) =>
          store.commit(change.guard?.kind === 'lease_expired' ? { ...change, guard: undefined } : change),
      })),
  },
  {
    name: 'no-blindness',
    breaks: 'a control plane that was away judges the silence that it caused itself',
    // By the age of the last sweep as little as by what it has watched itself.
    plant: () => ({
      ...onStore((store) => ({ beginSweep: (options) => store.beginSweep({ ...options, termMs: 1e12 }) })),
      judgesAtOnce: true,
    }),
  },
  {
    name: 'finish-without-session-check',
    breaks: 'a process that was superseded ends the attempt that the newer one runs',
    plant: () =>
      onCore((core, store) => ({
        async finish(call, key, body) {
          const assignment = (await store.readJob(key))?.state.assignment
          const session = assignment?.session ?? call.session
          return core.finish({ session, agent: { ...call.agent, session } }, key, body)
        },
      })),
  },
  {
    name: 'cancel-forgotten-on-retry',
    breaks: 'a job that was cancelled while it ran is started once more',
    plant: () => onStore((store) => ({ commit: (change) => store.commit(forgetCancel(change)) })),
  },
  {
    name: 'retry-limit-ignored',
    breaks: 'failures are not counted: a failing job is retried without end',
    plant: () =>
      onStore((store) => ({
        commit(change) {
          const { before, after } = change
          const isRetry = after.failures > before.failures && after.phase === 'queued'
          return store.commit(isRetry ? { ...change, after: { ...after, failures: before.failures } } : change)
        },
      })),
  },
  {
    name: 'heartbeat-edge-triggered',
    breaks: 'cancel and stop are said once; when that answer is lost nobody ever says it again',
    plant: () => {
      const told = new Set<string>()
      return onCore((core) => ({
        async heartbeat(call, body) {
          const answer = await core.heartbeat(call, body)
          const isNew = ({ want, job, attempt }: (typeof answer.attempts)[number]): boolean => {
            const name = `${want} ${job} ${attempt} ${'id' in call.agent ? call.agent.id : call.agent.keyHash}`
            if (want === 'run' || !told.has(name)) {
              told.add(name)
              return true
            }
            return false
          }
          return { ...answer, attempts: answer.attempts.filter(isNew) }
        },
      }))
    },
  },
  {
    name: 'gpu-given-twice',
    breaks: 'two schedulers plan at the same time and both plans are applied',
    plant: () =>
      onStore((store) => ({
        commitPlan: async (_rev, changes) => store.commitPlan((await store.readScheduleView(1)).schedulerRev, changes),
      })),
  },
  {
    name: 'updates-let-go-early',
    breaks: 'readers are told the end of a job while its last updates are still on their way',
    plant: () =>
      onStore((store) => ({
        async readJob(key) {
          const record = await store.readJob(key)
          return record && { ...record, heldAttempts: [] }
        },
      })),
  },
  {
    name: 'resume-without-lines',
    breaks: 'an agent that adopts a container is not told how many lines are stored: they come twice',
    plant: () =>
      onCore((core) => ({
        async claim(call, key, body) {
          const grant = await core.claim(call, key, body)
          return { ...grant, resume: { ...grant.resume, stdout_lines: 0, stderr_lines: 0 } }
        },
      })),
  },
  {
    name: 'numbers-used-again',
    breaks: 'behind a wiped stream an adopting process counts from where the stream ends: two things at one place',
    plant: () =>
      onCore((core) => ({
        claim: (call, key, body) => core.claim(call, key, { ...body, publishing: true }),
      })),
  },
]
