// The jobs of a run as its clients know them: what was accepted, what each must print, which have ended.

import type { JobPlan } from './job-mix.ts'

export interface BookedJob {
  readonly id: string
  readonly plan: JobPlan
  status: string
}

export interface JobBook {
  add(id: string, plan: JobPlan): void
  get(id: string): BookedJob | undefined
  of(tenant: string): readonly BookedJob[]
  readonly live: number
  readonly all: readonly BookedJob[]
}

export const ENDS: ReadonlySet<string> = new Set(['completed', 'error', 'cancelled'])

export function createJobBook(): JobBook {
  const jobs = new Map<string, BookedJob>()
  const lists = new Map<string, BookedJob[]>()
  return {
    add(id, plan) {
      if (jobs.has(id)) return
      const job = { id, plan, status: 'starting' }
      jobs.set(id, job)
      const list = lists.get(plan.tenant)
      if (list) list.push(job)
      else lists.set(plan.tenant, [job])
    },
    get: (id) => jobs.get(id),
    of: (tenant) => lists.get(tenant) ?? [],
    get live() {
      return [...jobs.values()].filter(({ status }) => !ENDS.has(status)).length
    },
    get all() {
      return [...jobs.values()]
    },
  }
}
