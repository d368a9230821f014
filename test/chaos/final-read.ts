// After the last fault: waits until nothing is live any more, then reads every job and every job's whole story, and looks
// for containers and processes that should be gone.

import { readdirSync, readFileSync } from 'node:fs'
import type { Frame } from '../../shared/update.ts'
import type { JobView } from '../../shared/job.ts'
import type { FinalJob, History } from './history.ts'
import { ENDS, type BookedJob, type JobBook } from './job-book.ts'
import { pause } from './load.ts'
import { containersOn } from './stage-engines.ts'
import type { Stage } from './stage.ts'
import { storyRuns } from './story-runs.ts'
import type { TenantCalls } from './tenant-calls.ts'

export interface FinalOptions {
  readonly stage: Stage
  readonly tenants: readonly TenantCalls[]
  readonly book: JobBook
  readonly history: History
  readonly over: AbortSignal
}

const READERS = 8
const PAGE = 10_000
const TRIES = 5

/** True when all accepted jobs had ended by the deadline. */
export async function untilAllEnded({ tenants, over }: FinalOptions, deadlineMs: number): Promise<boolean> {
  const end = Date.now() + deadlineMs
  while (Date.now() < end && !over.aborted) {
    const answers = await Promise.all(
      tenants.map((calls) => calls.call('GET', '/v1/jobs?status=starting,running&limit=1')),
    )
    if (answers.every(({ status, body }) => status === 200 && (body as { items: unknown[] }).items.length === 0))
      return true
    await pause(300, over)
  }
  return false
}

export async function readEverything(options: FinalOptions): Promise<void> {
  const left = [...options.book.all]
  const reader = async (): Promise<void> => {
    for (let job = left.pop(); job && !options.over.aborted; job = left.pop()) await readOne(options, job)
  }
  await Promise.all(Array.from({ length: READERS }, reader))
  await lookForRemains(options)
}

async function readOne(options: FinalOptions, job: BookedJob): Promise<void> {
  const { history, tenants } = options
  const calls = tenants.find(({ tenant }) => tenant.name === job.plan.tenant)
  if (!calls) return
  const { status, body } = await patiently(() => calls.call('GET', `/v1/jobs/${job.id}`))
  // A job that is gone is not noted: its absence says so.
  if (status !== 200) return
  history.note({ op: 'final', job: finalOf(body as JobView) })
  const client = `final.${job.id}`
  history.note({ op: 'open', client, tenant: job.plan.tenant, job: job.id, after: 0 })
  const frames: Frame[] = []
  for (let cursor = 0, done = false; !done;) {
    const page = await patiently(() =>
      calls.call('GET', `/v1/jobs/${job.id}/updates?after=${cursor}&limit=${PAGE}`, { deadlineMs: 20_000 }),
    )
    const { updates = [], cursor: next = cursor, ...rest } = (page.body ?? {}) as Partial<HistoryPage>
    frames.push(...updates)
    // A page without progress would come again and again: what is missing then is for the checker.
    done = rest.done === true || next === cursor
    cursor = next
  }
  history.note({ op: 'story', client, job: job.id, runs: storyRuns(frames, job.plan) })
}

interface HistoryPage {
  readonly updates: Frame[]
  readonly cursor: number
  readonly done: boolean
}

async function patiently(ask: () => ReturnType<TenantCalls['call']>): ReturnType<TenantCalls['call']> {
  let answer = await ask()
  for (let tries = 1; tries < TRIES && (answer.status === 0 || answer.status >= 500); tries += 1) answer = await ask()
  return answer
}

function finalOf(view: JobView): FinalJob {
  return {
    id: view.id,
    tenant: view.tenant,
    status: view.status,
    error: view.error?.code,
    message: view.error?.message.slice(0, 300),
    exitCode: view.exit?.code,
    attempt: view.attempt,
    createdAtMs: Date.parse(view.created_at),
    finishedAtMs: view.finished_at === undefined ? null : Date.parse(view.finished_at),
    attempts: view.attempts.map(({ attempt, agent, claimed_at: claimedAt }) => ({
      attempt,
      agent,
      claimedAtMs: Date.parse(claimedAt),
    })),
    ends: view.transitions.filter(({ status }) => ENDS.has(status)).length,
  }
}

/** Containers and their processes, by the engines' word and by the kernel's. */
async function lookForRemains({ stage, history }: FinalOptions): Promise<void> {
  for (const { part, engine } of stage.agents)
    for (const { job, attempt, state } of (await containersOn(engine.socketPath)) ?? [])
      history.note({ op: 'left', where: part.name, what: `container (${state}) of ${job}, attempt ${attempt}` })
  const own = readProc('self', 'cgroup')
  for (const pid of readdirSync('/proc').filter((name) => /^\d+$/.test(name))) {
    const isProcess = readProc(pid, 'environ').includes('CHAOS_CONTAINER=')
    // An engine may have forgotten what it started; the kernel has not.
    const group = readProc(pid, 'cgroup')
    const isContainer = group !== own && /\/docker\/[0-9a-f]{64}/.test(group)
    const name = readProc(pid, 'comm').trim()
    // Docker's own, before it becomes the program: an engine that dies in the middle of a start leaves it behind.
    if (isContainer && name.startsWith('runc:[')) history.note({ op: 'half_started', pid })
    else if (isProcess || isContainer)
      history.note({ op: 'left', where: 'the kernel', what: `process ${pid} of a container (${name})` })
  }
}

function readProc(pid: string, file: string): string {
  try {
    return readFileSync(`/proc/${pid}/${file}`, 'utf8')
  } catch {
    // Gone meanwhile.
    return ''
  }
}
