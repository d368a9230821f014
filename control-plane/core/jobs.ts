// Portable: Web APIs only.
//
// What clients do with jobs: submit, show, list, cancel, retry. A job that was answered 201 is in the database; NATS has
// no part in that.
import { AppError } from '../../shared/errors.ts'
import { newId } from '../../shared/ids.ts'
import { newJobState } from '../../shared/job-machine.ts'
import type { JobSpec } from '../../shared/job-spec.ts'
import { isTerminal, type JobRecord, type JobView, type QueueView } from '../../shared/job.ts'
import { plan } from '../../shared/schedule.ts'
import { applyEvent } from './apply-event.ts'
import type { SubmitOptions } from './core.ts'
import type { CoreContext } from './deps.ts'
import { jobView } from './job-views.ts'
import type { JobFilter, JobKey, Page } from './ports.ts'

export async function submitJob(
  core: CoreContext,
  spec: JobSpec,
  options: SubmitOptions,
): Promise<{ created: boolean; job: JobView }> {
  const { tenant, idempotencyKey, bodyHash } = options
  const id = spec.request?.job_id ?? newId('job')
  const created = await core.store.createJob({
    state: newJobState(tenant, id, spec.retries),
    spec,
    retryOf: null,
    idempotency: idempotencyKey === null ? null : { key: idempotencyKey, bodyHash },
  })
  switch (created.kind) {
    case 'created':
      core.pokeScheduler()
      return { created: true, job: jobView(created.record, []) }
    case 'existing':
      return { created: false, job: jobView(created.record, []) }
    case 'mismatch':
      throw new AppError(
        'idempotency_mismatch',
        `Cannot submit: the Idempotency-Key "${idempotencyKey}" was used with another body.`,
      )
    case 'taken':
      throw taken(id)
  }
}

export async function showJob(core: CoreContext, key: JobKey): Promise<JobView> {
  const [record, transitions] = await Promise.all([readOrThrow(core, key), core.store.readTransitions(key)])
  return jobView(record, transitions, record.state.phase === 'queued' ? await queueView(core, record) : undefined)
}

export async function listJobs(core: CoreContext, filter: JobFilter): Promise<Page<JobView>> {
  const page = await core.store.listJobs(filter)
  return { items: page.items.map((record) => jobView(record, [])), cursor: page.cursor }
}

/** Asks for the end: at once where no agent holds the job, else a flag that its agent sees with its next beat. */
export async function cancelJob(core: CoreContext, key: JobKey, graceSeconds: number | null): Promise<JobView> {
  const record = await readOrThrow(core, key)
  const event = { type: 'cancel_requested', graceSeconds: graceSeconds ?? record.spec.stop_grace_seconds } as const
  const applied = await applyEvent(core, key, { event }, record)
  if (applied.kind === 'missing') throw notFound(key)
  if (applied.kind === 'refused' && applied.refusal === 'terminal' && applied.record.state.status !== 'cancelled')
    throw new AppError(
      'conflict',
      `Cannot cancel job "${key.job}": it has already ended as "${applied.record.state.status}".`,
    )
  const assignment = applied.kind === 'applied' ? applied.state.assignment : null
  // A run command for an attempt that the agent holds only makes it beat at once: the answer tells it to cancel.
  if (assignment) core.bus.publishRun(assignment.agent, { ...key, attempt: assignment.attempt, image: null })
  return showJob(core, key)
}

/** A new job of the same spec. The old one must have ended; its job_id is not copied. */
export async function retryJob(core: CoreContext, key: JobKey): Promise<JobView> {
  const record = await readOrThrow(core, key)
  if (!isTerminal(record.state.status))
    throw new AppError(
      'conflict',
      `Cannot retry job "${key.job}": it is still "${record.state.status}". Cancel it first, or wait for its end.`,
    )
  const { request } = record.spec
  const spec: JobSpec = request ? { ...record.spec, request: { ...request, job_id: undefined } } : record.spec
  const id = newId('job')
  const state = newJobState(key.tenant, id, spec.retries)
  const created = await core.store.createJob({ state, spec, retryOf: key.job, idempotency: null })
  if (created.kind !== 'created') throw taken(id)
  core.pokeScheduler()
  return jobView(created.record, [])
}

async function readOrThrow(core: CoreContext, key: JobKey): Promise<JobRecord> {
  const record = await core.store.readJob(key)
  if (!record) throw notFound(key)
  return record
}

async function queueView(core: CoreContext, record: JobRecord): Promise<QueueView> {
  const [position, view] = await Promise.all([core.store.queuePosition(record), core.store.readScheduleView(1)])
  const { waiting } = plan({ ...view, queued: [record] }, core.config)
  const [mine] = waiting
  if (!mine)
    return { position, why: 'its turn comes with the next plan, or when the back-off of its retry is over', agents: [] }
  return { position, why: mine.why, agents: mine.agents }
}

function notFound(key: JobKey): AppError {
  return new AppError('not_found', `Job "${key.job}" does not exist.`)
}

function taken(id: string): AppError {
  return new AppError('conflict', `Cannot submit: the job id "${id}" is taken.`, {
    hint: 'Leave request.job_id out, or choose a new one.',
  })
}
