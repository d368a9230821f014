// What the checkers share: a violation, and the history arranged by job. Pure.

import type { ChaosEvent, FinalJob } from './history.ts'
import type { JobPlan } from './job-mix.ts'

/** Which number of the report it counts in; `wrong` is everything else that was not promised. */
export type Broken =
  | 'lost'
  | 'doubled'
  | 'gaps'
  | 'stale_accepted'
  | 'orphan_containers'
  | 'cross_tenant'
  | 'memory'
  | 'wrong'

export interface Violation {
  readonly broken: Broken
  readonly t: number
  readonly job?: string | undefined
  /** A sentence with the seqs. */
  readonly what: string
}

export type EventOf<Op extends ChaosEvent['op']> = Extract<ChaosEvent, { op: Op }>

export interface FaultSpan {
  readonly kind: string
  readonly target: string
  readonly beginMs: number
  readonly endMs: number
}

export interface Findings {
  /** Job id → what it was to do. */
  readonly plans: ReadonlyMap<string, JobPlan>
  readonly finals: ReadonlyMap<string, FinalJob>
  readonly faults: readonly FaultSpan[]
}

export function eventsOf<Op extends ChaosEvent['op']>(events: readonly ChaosEvent[], op: Op): EventOf<Op>[] {
  return events.filter((event): event is EventOf<Op> => event.op === op)
}

export function findingsOf(events: readonly ChaosEvent[]): Findings {
  const plans = new Map<string, JobPlan>()
  for (const { job, plan, phase } of eventsOf(events, 'submit'))
    if (phase === 'ok' && job !== undefined) plans.set(job, plan)
  const finals = new Map(eventsOf(events, 'final').map(({ job }) => [job.id, job]))
  return { plans, finals, faults: faultSpans(events) }
}

export function faultSpans(events: readonly ChaosEvent[]): FaultSpan[] {
  const open = new Map<string, EventOf<'fault'>>()
  const spans: FaultSpan[] = []
  for (const event of eventsOf(events, 'fault')) {
    const name = `${event.kind} ${event.target}`
    const begun = open.get(name)
    if (event.phase === 'begin') open.set(name, event)
    else if (begun) {
      spans.push({ kind: event.kind, target: event.target, beginMs: begun.t, endMs: event.t })
      open.delete(name)
    }
  }
  for (const { kind, target, t } of open.values())
    spans.push({ kind, target, beginMs: t, endMs: Number.POSITIVE_INFINITY })
  return spans
}

export function groupBy<T>(items: readonly T[], keyOf: (item: T) => string): Map<string, T[]> {
  const groups = new Map<string, T[]>()
  for (const item of items) {
    const group = groups.get(keyOf(item))
    if (group) group.push(item)
    else groups.set(keyOf(item), [item])
  }
  return groups
}
