import { describe, expect, test } from 'vitest'
import type { HeldAttempt, WantedAttempt } from '../../shared/agent-protocol.ts'
import type { HeldPhase } from '../../shared/job.ts'
import { createHeldJobs } from '../../runner-agent/held-jobs.ts'
import { createJobControl } from '../../runner-agent/job-control.ts'
import type { JobRun, JobStart, RunEnd } from '../../runner-agent/job-run.ts'

interface Started {
  readonly start: JobStart
  readonly run: JobRun
  phase: HeldPhase
  end(how: RunEnd): Promise<void>
}

function createRig({ lostAfterSeconds = 60 } = {}) {
  const started: Started[] = []
  const clock = { seconds: 0 }
  let pokes = 0
  const jobs = createHeldJobs({
    bootSeconds: () => clock.seconds,
    poke: () => {
      pokes += 1
    },
    start(start) {
      const done = Promise.withResolvers<RunEnd>()
      const entry: Started = {
        start,
        phase: 'pulling',
        run: {
          key: start.key,
          control: createJobControl(),
          held: () => ({ ...start.key, phase: entry.phase, n: 0, stdout_lines: 0, stderr_lines: 0 }),
          lostAfterSeconds: () => lostAfterSeconds,
          done: done.promise,
        },
        async end(how) {
          done.resolve(how)
          await done.promise
          await Promise.resolve()
        },
      }
      started.push(entry)
      return entry.run
    },
  })
  const answer = (
    attempts: WantedAttempt[],
    listed: readonly HeldAttempt[] = jobs.held(),
    askedAt = clock.seconds,
  ): void =>
    jobs.apply({ lease_seconds: 6, next_beat_seconds: 2, cordoned: false, draining: false, attempts }, listed, askedAt)
  return { jobs, started, clock, answer, pokes: () => pokes }
}

const KEY = { tenant: 'default', job: 'j1', attempt: 1 }
const COMMAND = { ...KEY, image: null }

describe('createHeldJobs()', () => {
  test('starts what a command or an answer wants, once', () => {
    const { jobs, started, answer } = createRig()
    jobs.command(COMMAND)
    jobs.command(COMMAND)
    answer([{ ...KEY, want: 'run' }])
    expect(started).toHaveLength(1)
    answer([{ ...KEY, job: 'j2', want: 'run', image: 'busybox' }])
    expect(started.at(-1)?.start).toEqual({ key: { ...KEY, job: 'j2' }, image: 'busybox' })
  })

  test('does not begin again what ended here, but what was never ours', async () => {
    const { jobs, started, pokes } = createRig()
    jobs.command(COMMAND)
    await started[0]?.end('unclaimed')
    jobs.command(COMMAND)
    expect(started).toHaveLength(2)
    await started[1]?.end('over')
    jobs.command(COMMAND)
    expect(started).toHaveLength(2)
    expect(pokes()).toBe(2)
  })

  test('cancels, drops, and leaves alone what the beat did not list', () => {
    const { jobs, started, answer } = createRig()
    jobs.command(COMMAND)
    answer([{ ...KEY, want: 'stop' }], [])
    expect(started[0]?.run.control.letGo.aborted).toBe(false)
    answer([{ ...KEY, want: 'cancel', grace_seconds: 3 }])
    expect(started[0]?.run.control).toMatchObject({ reason: 'cancelled' })
    answer([{ ...KEY, want: 'stop' }])
    expect(started[0]?.run.control.letGo.aborted).toBe(true)
  })

  test('keeps a job that finished after the beat that the answer is about', () => {
    const { jobs, started, answer } = createRig()
    jobs.command(COMMAND)
    const listed = jobs.held()
    started[0]!.phase = 'finished'
    answer([{ ...KEY, want: 'stop' }], listed)
    expect(started[0]?.run.control.letGo.aborted).toBe(false)
    answer([{ ...KEY, want: 'stop' }])
    expect(started[0]?.run.control.letGo.aborted).toBe(true)
  })

  test('stops what nobody confirmed for its lost_after, by the boot clock', () => {
    const { jobs, started, clock, answer } = createRig()
    jobs.command(COMMAND)
    clock.seconds = 50
    answer([{ ...KEY, want: 'run' }])
    clock.seconds = 110
    jobs.checkRenewals()
    expect(started[0]?.run.control.reason).toBeNull()
    clock.seconds = 111
    jobs.checkRenewals()
    expect(started[0]?.run.control.reason).toBe('lost')
  })

  test('ends no job between two beats, however short its lost_after is', () => {
    const { jobs, started, clock, answer } = createRig({ lostAfterSeconds: 1 })
    jobs.command(COMMAND)
    answer([{ ...KEY, want: 'run' }])
    clock.seconds = 6
    jobs.checkRenewals()
    expect(started[0]?.run.control.reason).toBeNull()
    clock.seconds = 7
    jobs.checkRenewals()
    expect(started[0]?.run.control.reason).toBe('lost')
  })

  test('counts a renewal from the beat that asked for it, however late its answer comes', () => {
    const { jobs, started, clock, answer } = createRig()
    jobs.command(COMMAND)
    const askedAt = (clock.seconds = 40)
    clock.seconds = 49
    answer([{ ...KEY, want: 'run' }], jobs.held(), askedAt)
    clock.seconds = 101
    jobs.checkRenewals()
    expect(started[0]?.run.control.reason).toBe('lost')
  })

  test('takes a container over once more as ended when it had ended: the answer to a finished one is not "stop"', async () => {
    const { jobs, started } = createRig()
    const found = { id: 'c1', key: KEY, state: 'running', bootId: 'b1', lostAfterSeconds: 60, updatesBefore: 0 }
    jobs.adopt({ key: KEY, found })
    await started[0]?.end('again')
    expect(started[1]?.start.found?.state).toBe('running')
    if (started[1]) started[1].phase = 'finished'
    await started[1]?.end('again')
    expect(started[2]?.start.found?.state).toBe('exited')
  })

  test('takes no new work while it drains, and says when it is idle', async () => {
    const { jobs, started, answer } = createRig()
    jobs.command(COMMAND)
    jobs.refuseNew()
    jobs.command({ ...COMMAND, job: 'j2' })
    answer([{ ...KEY, job: 'j3', want: 'run' }])
    expect(started).toHaveLength(1)
    const idle = jobs.idle(new AbortController().signal)
    await started[0]?.end('over')
    await idle
    expect(jobs.count()).toBe(0)
  })
})
