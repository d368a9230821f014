// The checkers of the chaos runs, fed with histories made by hand: a good one that they must leave alone, and one bad one
// for each promise that they must catch. A checker that catches nothing proves nothing.

import { describe, expect, test } from 'vitest'
import { seqOf } from '../../shared/position.ts'
import { checkContainers } from '../chaos/check-containers.ts'
import type { Violation } from '../chaos/check-input.ts'
import { checkMemory } from '../chaos/check-memory.ts'
import { checkStories } from '../chaos/check-stories.ts'
import { checkTenancy } from '../chaos/check-tenancy.ts'
import { checkTerminals } from '../chaos/check-terminals.ts'
import type { ChaosEvent, FinalJob, Untimed } from '../chaos/history.ts'
import { planJob, type JobPlan } from '../chaos/job-mix.ts'
import { heardOf, recoveries } from '../chaos/recovery.ts'
import { judge } from '../chaos/report.ts'
import { seeded } from '../chaos/seeded.ts'
import type { StoryRun } from '../chaos/story-runs.ts'

const PLAN: JobPlan = {
  ...planJob(seeded(1), { name: 'north', marker: 'mnorth' }, 7),
  lines: 4,
  errLines: 0,
  exit: 0,
  timesOut: false,
  lostAfterSeconds: 5,
}
const DONE: FinalJob = {
  id: 'job',
  tenant: 'north',
  status: 'completed',
  exitCode: 0,
  attempt: 1,
  createdAtMs: 1_000,
  finishedAtMs: 5_000,
  attempts: [{ attempt: 1, agent: 'agt_1', claimedAtMs: 1_500 }],
  ends: 1,
}
const END: StoryRun = { kind: 'end', attempt: 1, status: 'completed', exitCode: 0 }
const WHOLE: readonly StoryRun[] = [updates(1, 1, 2), updates(1, 3, 6, 1), END]

function updates(attempt: number, from: number, to: number, line?: number): StoryRun {
  return { kind: 'updates', attempt, from, to, ...(line === undefined ? {} : { stream: 'out' as const, line }) }
}

interface Options {
  readonly plan?: Partial<JobPlan>
  readonly final?: Partial<FinalJob> | null
  /** What the read at the end gave; a client's reads are events. */
  readonly whole?: readonly StoryRun[]
  readonly more?: readonly (Untimed<ChaosEvent> & { readonly t?: number })[]
}

/** One accepted job that ended well and was read at the end, but for what the options say. */
function history({ plan = {}, final = {}, whole = WHOLE, more = [] }: Options = {}): ChaosEvent[] {
  const timed = (event: object, t: number): ChaosEvent => ({ t, ...event }) as ChaosEvent
  return [
    timed({ op: 'submit', phase: 'invoke', key: 'k', plan: { ...PLAN, ...plan } }, 900),
    timed({ op: 'submit', phase: 'ok', key: 'k', plan: { ...PLAN, ...plan }, job: 'job', status: 201 }, 1_000),
    ...more.map((event, index) => timed(event, 2_000 + index)),
    ...(final ? [timed({ op: 'final', job: { ...DONE, ...final } }, 90_000)] : []),
    ...story('final.job', whole).map((event) => timed(event, 90_000)),
  ]
}

function story(client: string, runs: readonly StoryRun[], after = 0): Untimed<ChaosEvent>[] {
  return [
    { op: 'open', client, tenant: 'north', job: 'job', after },
    { op: 'story', client, job: 'job', runs },
  ]
}

function kinds(violations: readonly Violation[]): string[] {
  return [...new Set(violations.map(({ broken }) => broken))]
}

const WIPE = [
  { op: 'fault', kind: 'nats_wiped', target: 'nats', phase: 'begin', t: 3_000 },
  { op: 'fault', kind: 'nats_wiped', target: 'nats', phase: 'end', t: 3_100 },
] as const

test('a good history has no violation', () => {
  const more = [
    ...story('client-1', [updates(1, 1, 2)]),
    ...story('client-1', [updates(1, 3, 4, 1)], seqOf(1, 2)),
    { op: 'close' as const, client: 'client-1', job: 'job', code: 1006 },
    ...story('client-1', [updates(1, 5, 6, 3), END], seqOf(1, 4)),
    { op: 'stranger' as const, tenant: 'south', job: 'job', status: 404 },
    { op: 'running' as const, engine: 'e', containers: [{ tenant: 'north', job: 'job', attempt: 1 }], t: 4_000 },
  ]
  expect(judge(history({ more }), 1).violations).toEqual([])
})

describe('promise 1: one end', () => {
  const cases: [string, string, Options][] = [
    ['an accepted job that is gone', 'lost', { final: null }],
    ['a job that never ended', 'lost', { final: { status: 'running', finishedAtMs: null, ends: 0 } }],
    ['a job that ended twice', 'doubled', { final: { ends: 2 } }],
    ['an end that changed', 'doubled', { more: [seen('error')] }],
    ['an ended job that ran again', 'doubled', { more: [seen('completed'), seen('running')] }],
    [
      'two jobs for one key',
      'doubled',
      { more: [{ op: 'submit', phase: 'ok', key: 'k', plan: PLAN, job: 'other', status: 201 }] },
    ],
    [
      'a good body that was refused',
      'wrong',
      { more: [{ op: 'submit', phase: 'fail', key: 'x', plan: PLAN, status: 400 }] },
    ],
    ['a failed script that completed', 'wrong', { plan: { exit: 3 } }],
    [
      'a killed job that says it failed by itself',
      'wrong',
      { final: { status: 'error', error: 'exit_nonzero', exitCode: 137 } },
    ],
    ['a cancel that nobody asked for', 'wrong', { final: { status: 'cancelled' } }],
    ['an internal error', 'wrong', { final: { status: 'error', error: 'internal' } }],
  ]
  test.each(cases)('%s is found', (_, broken, options) => {
    expect(kinds(checkTerminals(history(options)))).toContain(broken)
  })

  function seen(status: string): Untimed<ChaosEvent> {
    return { op: 'seen', tenant: 'north', job: 'job', status, attempt: 1 }
  }

  test('a lost agent, a cancel that was asked for and a time-out that was due are no violations', () => {
    const cancel = { op: 'cancel', tenant: 'north', job: 'job', status: 202 } as const
    expect(checkTerminals(history({ final: { status: 'error', error: 'agent_lost' } }))).toEqual([])
    expect(checkTerminals(history({ final: { status: 'cancelled' }, more: [cancel] }))).toEqual([])
    expect(checkTerminals(history({ plan: { timesOut: true }, final: { status: 'error', error: 'timeout' } }))).toEqual(
      [],
    )
  })
})

describe('promises 2 and 3: the story', () => {
  const second: Partial<FinalJob> = {
    attempt: 2,
    attempts: [...DONE.attempts, { attempt: 2, agent: 'agt_2', claimedAtMs: 3_000 }],
  }
  const retried = [updates(1, 1, 3), updates(2, 1, 2), updates(2, 3, 6, 1), { ...END, attempt: 2 }] as StoryRun[]
  const gap: StoryRun = { kind: 'gap', from: seqOf(1, 3), to: seqOf(1, 4) }
  const cases: [string, string, Options][] = [
    ['a hole without a gap', 'gaps', { whole: [updates(1, 1, 2), updates(1, 4, 6, 1), END] }],
    ['a hole at the beginning', 'gaps', { whole: [updates(1, 2, 6), END] }],
    ['a gap that nothing explains', 'gaps', { whole: [updates(1, 1, 2), gap, updates(1, 5, 6, 3), END] }],
    [
      'a line that is missing inside',
      'gaps',
      { whole: [updates(1, 1, 2), updates(1, 3, 4, 1), updates(1, 5, 5, 4), END] },
    ],
    ['a last line that is missing', 'gaps', { whole: [updates(1, 1, 2), updates(1, 3, 5, 1), END] }],
    [
      'a line that comes twice',
      'doubled',
      { whole: [updates(1, 1, 2), updates(1, 3, 4, 1), updates(1, 5, 7, 2), END] },
    ],
    ['a line of another job', 'wrong', { whole: [{ kind: 'bad', attempt: 1, n: 1, why: 'no line of j7' }, END] }],
    ['no end', 'lost', { whole: WHOLE.slice(0, -1) }],
    ['two ends', 'doubled', { whole: [...WHOLE, END] }],
    ['an update after the end', 'doubled', { whole: [...WHOLE, updates(1, 7, 7)] }],
    ['another end than the row has', 'doubled', { whole: [...WHOLE.slice(0, -1), { ...END, status: 'error' }] }],
    ['an update that a client gets again', 'doubled', { more: twice([updates(1, 1, 2)], [updates(1, 2, 2)]) }],
    ['a hole over a reconnect', 'gaps', { more: twice([updates(1, 1, 2)], [updates(1, 4, 4, 2)]) }],
    [
      'an update that only one client saw',
      'gaps',
      { more: story('client-1', [updates(1, 1, 2), updates(1, 3, 7, 1)]) },
    ],
    ['another line at the same place', 'doubled', { more: story('client-1', [updates(1, 1, 3), updates(1, 4, 4, 1)]) }],
    [
      'a stream closed as an internal error',
      'wrong',
      { more: [...story('c', []), { op: 'close', client: 'c', job: 'job', code: 1011 }] },
    ],
    [
      'an update of an attempt that does not count any more',
      'stale_accepted',
      { final: second, whole: retried, more: story('client-1', [updates(1, 1, 5)]) },
    ],
    [
      'attempts that mix',
      'stale_accepted',
      { final: second, whole: [updates(1, 1, 3), updates(2, 1, 2), updates(1, 4, 4), END] },
    ],
  ]
  test.each(cases)('%s is found', (_, broken, options) => {
    expect(kinds(checkStories(history(options)))).toContain(broken)
  })

  function twice(first: StoryRun[], second_: StoryRun[]): Untimed<ChaosEvent>[] {
    return [...story('client-1', first), ...story('client-1', second_, seqOf(1, 2))]
  }

  test('what a wiped store took of a lost attempt is nobody’s violation: how much it had said is not known', () => {
    const whole = retried.slice(1)
    const more = story('client-1', [updates(1, 1, 3)])
    expect(checkStories(history({ final: second, whole, more: [...WIPE, ...more] }))).toEqual([])
    expect(kinds(checkStories(history({ final: second, whole, more })))).toEqual(['stale_accepted'])
  })

  test('a retried job is read from its new attempt on', () => {
    expect(checkStories(history({ final: second, whole: retried }))).toEqual([])
  })

  test('a gap is explained where the store was wiped after the attempt began, and lines may be missing behind it', () => {
    const whole = [updates(1, 1, 2), gap, updates(1, 5, 6, 3), END]
    expect(checkStories(history({ whole, more: WIPE }))).toEqual([])
    const before = { ...DONE, attempts: [{ attempt: 1, agent: 'agt_1', claimedAtMs: 3_200 }] }
    expect(kinds(checkStories(history({ whole, more: WIPE, final: before })))).toEqual(['gaps'])
  })

  test('a gap is explained where nothing could be published for longer than the job waits, and not before', () => {
    const whole = [updates(1, 1, 2), gap, updates(1, 5, 6, 3), END]
    const stops = [
      { op: 'fault', kind: 'nats_stop', target: 'nats', phase: 'begin', t: 1_600 },
      { op: 'fault', kind: 'nats_stop', target: 'nats', phase: 'end', t: 3_000 },
      { op: 'fault', kind: 'agent_kill', target: 'quick-1', phase: 'begin', t: 4_000 },
      { op: 'fault', kind: 'agent_kill', target: 'quick-1', phase: 'end', t: 5_000 },
    ] as const
    const waits = (lostAfterSeconds: number) => ({ whole, more: stops, plan: { lostAfterSeconds } })
    expect(checkStories(history(waits(5)))).toEqual([])
    expect(kinds(checkStories(history(waits(6))))).toEqual(['gaps'])
  })

  test('lines come again only behind the gap of an agent that began anew', () => {
    const behind = (to: number): StoryRun[] => [
      updates(1, 1, 1),
      updates(1, 2, 4, 1),
      { kind: 'gap', from: seqOf(1, 5), to: seqOf(1, to) },
      updates(1, to + 1, to + 2, 3),
      END,
    ]
    expect(checkStories(history({ whole: behind(2 ** 20), more: WIPE }))).toEqual([])
    expect(kinds(checkStories(history({ whole: behind(8), more: WIPE })))).toContain('doubled')
  })
})

describe('promises 4, 5 and 6', () => {
  const running = (t: number): Options => ({
    more: [{ op: 'running', engine: 'quick-1', containers: [{ tenant: 'north', job: 'job', attempt: 1 }], t }],
  })

  test('a container that outlives its job by more than lost_after and the slack is found', () => {
    expect(checkContainers(history(running(5_000 + 5_000 + 3_000)), 3_000)).toEqual([])
    expect(kinds(checkContainers(history(running(5_000 + 5_000 + 3_001)), 3_000))).toEqual(['orphan_containers'])
  })

  test('a container that outlives its attempt is found although the job goes on', () => {
    const attempts = [...DONE.attempts, { attempt: 2, agent: 'agt_2', claimedAtMs: 2_000 }]
    const events = history({ ...running(11_000), final: { attempt: 2, attempts, finishedAtMs: 80_000 } })
    expect(kinds(checkContainers(events, 3_000))).toEqual(['orphan_containers'])
  })

  test('a container that is left at the end is found', () => {
    expect(kinds(checkContainers(history({ more: [{ op: 'left', where: 'quick-1', what: 'a process' }] })))).toEqual([
      'orphan_containers',
    ])
  })

  test.each([200, 202, 403, 409, 500])('a stranger who gets %i is found', (status) => {
    expect(kinds(checkTenancy(history({ more: [{ op: 'stranger', tenant: 'south', job: 'job', status }] })))).toEqual([
      'cross_tenant',
    ])
  })

  test('a marker of the other tenant is found', () => {
    expect(kinds(checkTenancy(history({ more: [{ op: 'taint', tenant: 'south', where: 'a list' }] })))).toEqual([
      'cross_tenant',
    ])
  })

  test('a process beyond its bound is found once, at its worst', () => {
    const rss = [100, 900, 950, 920].map((mb) => ({ op: 'rss' as const, mb: { nats: mb }, fds: {} }))
    expect(checkMemory(history({ more: rss }))).toMatchObject([
      { broken: 'memory', what: expect.stringContaining('950') },
    ])
  })
})

test('recovery is the time until an agent is heard of again, or until the end of the next job', () => {
  const faults = [
    { kind: 'agent_kill', target: 'quick-1', beginMs: 1_000, endMs: 1_400 },
    { kind: 'nats_kill', target: 'nats', beginMs: 500, endMs: 900 },
  ]
  const fleet = [1_300, 1_300, 1_500].map((at) => ({ op: 'fleet' as const, lastSeenMs: { 'quick-1': at } }))
  expect(recoveries(faults, [DONE], heardOf(history({ more: fleet })))).toEqual({
    agent_kill: { p50: 100, p99: 100, max: 100 },
    nats_kill: { p50: 4_100, p99: 4_100, max: 4_100 },
  })
})
