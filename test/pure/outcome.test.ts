import { describe, expect, test } from 'vitest'
import type { ContainerStory } from '../../shared/container-story.ts'
import { seqOf } from '../../shared/position.ts'
import { MAX_RESULT_BYTES, outcomeOf, type ContainerEnd } from '../../shared/outcome.ts'

const LIMITS = { memoryBytes: 64 * 2 ** 20, timeoutSeconds: 5, outputBytes: 2 ** 20 }
const STORY: ContainerStory = { status: null, failure: null, result: null, stderrTail: [], initFailure: null }
const END: ContainerEnd = { code: 0, oomKilled: false, killedBy: null }

const outcome = (end: Partial<ContainerEnd>, story: Partial<ContainerStory> = {}) =>
  outcomeOf({ ...END, ...end }, { ...STORY, ...story }, LIMITS, 3)

describe('outcomeOf() an exit with 0', () => {
  test('completed, or nothing said: completed with the result, or {}', () => {
    expect(outcome({})).toEqual({ exit: { code: 0, oom_killed: false, reason: 'exited' }, result: {} })
    expect(outcome({}, { status: 'completed', result: { value: { a: [1] }, n: 4 } }).result).toEqual({ a: [1] })
  })

  test('a result over 256 KiB becomes the seq of its update', () => {
    const fits = { a: 'x'.repeat(MAX_RESULT_BYTES - 8) }
    expect(outcome({}, { status: 'completed', result: { value: fits, n: 4 } }).result).toEqual(fits)
    expect(
      outcome({}, { status: 'completed', result: { value: { a: 'ü'.repeat(MAX_RESULT_BYTES / 2) }, n: 4 } }).result,
    ).toEqual({ $update: seqOf(3, 4) })
  })

  test('while no engine was there: engine_lost, unless the container had said how it ended', () => {
    const unheard = { exit: { code: 0, reason: 'lost' }, error: { code: 'engine_lost' } }
    expect(outcome({ unheard: true })).toMatchObject(unheard)
    const result = { value: { a: [1] }, n: 4 }
    expect(outcome({ unheard: true }, { status: 'completed', result })).toMatchObject({ result: { a: [1] } })
  })

  test.each(['failed', 'error'])('%s: workflow_failed with the first failure', (status) => {
    expect(outcome({}, { status, failure: 'boom' })).toMatchObject({
      exit: { reason: 'exited' },
      error: { code: 'workflow_failed', message: 'boom' },
    })
  })

  test('cancelled: reason container; suspended: error suspended', () => {
    expect(outcome({}, { status: 'cancelled' })).toEqual({ exit: { code: 0, oom_killed: false, reason: 'container' } })
    expect(outcome({}, { status: 'suspended' })).toMatchObject({ error: { code: 'suspended' } })
  })

  test('an out-of-memory child of a container that went on is no failure', () => {
    expect(outcome({ oomKilled: true })).toMatchObject({
      exit: { code: 0, oom_killed: true, reason: 'exited' },
      result: {},
    })
  })
})

describe('outcomeOf() any other exit', () => {
  test('a forged completed followed by exit 3 is an error', () => {
    const story = { status: 'completed', result: { value: {}, n: 1 } }
    expect(outcome({ code: 3 }, story)).toMatchObject({
      exit: { code: 3, reason: 'exited' },
      error: { code: 'exit_nonzero' },
    })
    expect(outcome({ code: 3 }, story)).not.toHaveProperty('result')
  })

  test('exit_nonzero tells the first failure, else the end of stderr', () => {
    expect(outcome({ code: 1 }, { failure: 'boom', stderrTail: ['x'] }).error?.message).toBe('boom')
    expect(outcome({ code: 1 }, { stderrTail: ['Traceback', 'ValueError: no'] }).error?.message).toBe(
      'Traceback\nValueError: no',
    )
    expect(outcome({ code: 137 }).error).toMatchObject({
      code: 'exit_nonzero',
      message: expect.stringContaining('137'),
    })
  })

  test('oom only where the engine says so', () => {
    expect(outcome({ code: 137, oomKilled: true })).toMatchObject({
      exit: { reason: 'oom' },
      error: { code: 'oom', message: expect.stringContaining('64m') },
    })
  })

  test('a command that could not be run is start_failed, told by init', () => {
    const initFailure = '[FATAL tini (7)] exec nope failed: No such file or directory'
    expect(outcome({ code: 127 }, { initFailure })).toMatchObject({
      exit: { code: 127 },
      error: { code: 'start_failed' },
    })
    expect(outcome({ code: 127 })).toMatchObject({ error: { code: 'exit_nonzero' } })
    expect(outcome({ code: 3 }, { initFailure })).toMatchObject({ error: { code: 'exit_nonzero' } })
  })

  test.each(['timeout', 'output_limit', 'gpu_memory'] as const)(
    'killed by us: %s outranks what the container said',
    (killedBy) => {
      const killed = outcome({ code: 143, killedBy, signal: 'SIGTERM' }, { status: 'completed', failure: 'boom' })
      expect(killed).toMatchObject({
        exit: { code: 143, signal: 'SIGTERM', reason: killedBy },
        error: { code: killedBy },
      })
    },
  )

  test('a cancelled one has no error, a vanished one is engine_lost', () => {
    expect(outcome({ code: 143, killedBy: 'cancelled' })).toEqual({
      exit: { code: 143, oom_killed: false, reason: 'cancelled' },
    })
    expect(outcome({ code: null })).toMatchObject({
      exit: { code: null, reason: 'lost' },
      error: { code: 'engine_lost' },
    })
  })
})
