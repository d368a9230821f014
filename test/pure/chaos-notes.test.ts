// What the clients of a chaos run note of what they were sent, and what the seed decides.

import { describe, expect, test } from 'vitest'
import { seqOf, terminalSeq } from '../../shared/position.ts'
import type { Frame } from '../../shared/update.ts'
import { lineOf, planJob, type JobPlan } from '../chaos/job-mix.ts'
import { seeded } from '../chaos/seeded.ts'
import { storyRuns } from '../chaos/story-runs.ts'

const PLAN = planJob(seeded(1), { name: 'north', marker: 'mnorth' }, 7)

describe('what clients note', () => {
  const update = (n: number, content: string): Frame => ({
    type: 'log_update',
    job_id: 'job',
    attempt: 1,
    at: '',
    seq: seqOf(1, n),
    content,
  })

  test('neighbours become one run, and a line that its job cannot have printed stands alone', () => {
    const own: Frame = { type: 'job_update', job_id: 'job', status: 'running', attempt: 1, at: '', seq: seqOf(1, 1) }
    const lines = [1, 2, 3].map((number) => update(1 + number, lineOf(PLAN, 'out', number)))
    const forged = update(5, lineOf({ ...PLAN, marker: 'msouth' }, 'out', 4))
    const end = { ...own, status: 'completed', exit: { code: 0 }, seq: terminalSeq(1) } as unknown as Frame
    expect(storyRuns([own, ...lines, forged, end], PLAN)).toEqual([
      { kind: 'updates', attempt: 1, from: 1, to: 1 },
      { kind: 'updates', attempt: 1, from: 2, to: 4, stream: 'out', line: 1 },
      { kind: 'bad', attempt: 1, n: 5, why: expect.stringContaining('msouth') },
      { kind: 'end', attempt: 1, status: 'completed', exitCode: 0 },
    ])
  })

  test('the same seed gives the same jobs, another name others', () => {
    const jobs = (random: ReturnType<typeof seeded>): JobPlan[] =>
      Array.from({ length: 20 }, (_, index) => planJob(random, { name: 'north', marker: 'm' }, index))
    expect(jobs(seeded(5))).toEqual(jobs(seeded(5)))
    expect(jobs(seeded(5).fork('a'))).not.toEqual(jobs(seeded(5).fork('b')))
  })
})
