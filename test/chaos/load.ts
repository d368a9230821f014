// The clients that bring work: a steady stream of jobs over both tenants, each submitted under an Idempotency-Key until it
// is answered, some submitted again after that, some cancelled; and one that looks at the lists each second and at jobs
// that ended long ago, and knocks at the other tenant's door.

import { setTimeout as sleep } from 'node:timers/promises'
import type { History } from './history.ts'
import { bodyOf, planJob, type JobPlan } from './job-mix.ts'
import { ENDS, type JobBook } from './job-book.ts'
import type { Seeded } from './seeded.ts'
import type { TenantCalls } from './tenant-calls.ts'

export interface LoadOptions {
  readonly tenants: readonly [TenantCalls, TenantCalls]
  readonly book: JobBook
  readonly history: History
  readonly random: Seeded
  /** Between two jobs on average, when all is well. */
  readonly everyMs: number
  /** No new jobs from here on; what was begun is brought to an answer. */
  readonly enough: AbortSignal
  /** Nothing at all from here on. */
  readonly over: AbortSignal
}

const SUBMITTERS = 4
/** More waiting jobs would only wait longer. */
const MAX_LIVE = 64

export async function runLoad(options: LoadOptions): Promise<void> {
  let number = 0
  const submitter = async (name: string): Promise<void> => {
    const random = options.random.fork(name)
    // Ends with `enough`.
    while (!options.enough.aborted) {
      if (options.book.live >= MAX_LIVE) await pause(100, options.enough)
      else {
        const calls = random.pick(options.tenants)
        await submit(options, calls, planJob(random, calls.tenant, (number += 1)), random)
        await pause(options.everyMs * SUBMITTERS * random.next() * 2, options.enough)
      }
    }
  }
  const looks = options.tenants.map((calls, index) => lookAround(options, calls, options.tenants[1 - index] ?? calls))
  await Promise.all([...Array.from({ length: SUBMITTERS }, (_, index) => submitter(`submitter-${index}`)), ...looks])
}

async function submit(options: LoadOptions, calls: TenantCalls, plan: JobPlan, random: Seeded): Promise<void> {
  const { history, book } = options
  const key = `key-${plan.tag}`
  history.note({ op: 'submit', phase: 'invoke', key, plan })
  let answered = 0
  const wanted = random.chance(0.05) ? 2 : 1
  // Bounded by `over`: a submitter repeats until it knows.
  while (answered < wanted && !options.over.aborted) {
    const { status, body } = await calls.call('POST', '/v1/jobs', {
      body: bodyOf(plan),
      headers: { 'Idempotency-Key': key },
    })
    if (status === 200 || status === 201) {
      const job = String((body as { id?: unknown }).id)
      history.note({ op: 'submit', phase: 'ok', key, plan, job, status })
      book.add(job, plan)
      answered += 1
      if (answered === 1 && plan.cancelAfterMs > 0) void cancelLater(options, calls, job, plan.cancelAfterMs)
    } else if (status >= 400 && status < 500 && status !== 429) {
      history.note({ op: 'submit', phase: 'fail', key, plan, status })
      return
    } else {
      history.note({ op: 'submit', phase: 'info', key, plan, status })
      await pause(random.between(100, 700), options.over)
    }
  }
}

async function cancelLater(options: LoadOptions, calls: TenantCalls, job: string, afterMs: number): Promise<void> {
  await pause(afterMs, options.over)
  await cancel(options.history, calls, job)
}

export async function cancel(history: History, calls: TenantCalls, job: string): Promise<void> {
  // Noted before: a cancel whose answer is lost may count.
  history.note({ op: 'cancel', tenant: calls.tenant.name, job, status: 0 })
  const { status } = await calls.call('POST', `/v1/jobs/${job}/cancel`, { body: { grace_seconds: 1 } })
  history.note({ op: 'cancel', tenant: calls.tenant.name, job, status })
}

async function lookAround(options: LoadOptions, calls: TenantCalls, other: TenantCalls): Promise<void> {
  const random = options.random.fork(`look-${calls.tenant.name}`)
  while (!options.over.aborted) {
    await readList(options, calls)
    const ended = options.book.of(calls.tenant.name).filter(({ status }) => ENDS.has(status))
    if (ended.length > 0) await readJob(options, calls, random.pick(ended).id)
    const foreign = options.book.of(other.tenant.name)
    if (foreign.length > 0) await knock(options, calls, random.pick(foreign).id, random)
    await pause(700, options.over)
  }
}

interface SeenJob {
  readonly id: string
  readonly tenant: string
  readonly status: string
  readonly attempt: number
}

async function readList(options: LoadOptions, calls: TenantCalls): Promise<void> {
  const { body } = await calls.call('GET', '/v1/jobs?limit=150')
  for (const job of (body as { items?: SeenJob[] } | null)?.items ?? []) see(options, calls, job, false)
}

async function readJob(options: LoadOptions, calls: TenantCalls, id: string): Promise<void> {
  const { status, body } = await calls.call('GET', `/v1/jobs/${id}`)
  if (status === 200) see(options, calls, body as SeenJob, true)
}

/** Noted when it is news, or asked for. */
function see({ book, history }: LoadOptions, calls: TenantCalls, job: SeenJob, always: boolean): void {
  if (job.tenant !== calls.tenant.name) history.note({ op: 'taint', tenant: calls.tenant.name, where: `job ${job.id}` })
  const booked = book.get(job.id)
  if (booked?.status === job.status && !always) return
  history.note({ op: 'seen', tenant: job.tenant, job: job.id, status: job.status, attempt: job.attempt })
  // Two control planes may answer in either order: an end stays known.
  if (booked && !ENDS.has(booked.status)) booked.status = job.status
}

async function knock({ history }: LoadOptions, calls: TenantCalls, job: string, random: Seeded): Promise<void> {
  const [method, path] = random.pick([
    ['GET', `/v1/jobs/${job}`],
    ['GET', `/v1/jobs/${job}/updates`],
    ['POST', `/v1/jobs/${job}/cancel`],
    ['POST', `/v1/jobs/${job}/retry`],
  ] as const)
  const { status } = await calls.call(method, path, method === 'POST' ? { body: {} } : {})
  history.note({ op: 'stranger', tenant: calls.tenant.name, job, status })
}

/** Ends early with the signal. */
export async function pause(ms: number, signal: AbortSignal): Promise<void> {
  await sleep(ms, undefined, { signal }).catch(() => undefined)
}
