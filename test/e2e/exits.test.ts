// How containers end, and how they fail to begin: each through the real engine, each with its own code and sentence.
import { afterAll, beforeAll, describe, expect, inject, it } from 'vitest'
import type { SubmitBody } from '../../shared/job-spec.ts'
import { runToEnd, shell, SMALL } from '../support/jobs.ts'
import { startStack, type Stack } from '../support/stack.ts'

let stack: Stack
beforeAll(async () => {
  stack = await startStack({ agents: 1 })
})
afterAll(() => stack.close())

const image = inject('busyboxImage')

describe('a container that ends', () => {
  it('with exit 0 is completed with {} as its result', async () => {
    const { terminal } = await runToEnd(stack.client, shell(image, 'true'))
    expect(terminal).toMatchObject({ status: 'completed', result: {}, exit: { code: 0 } })
    expect(terminal.duration).toBeGreaterThanOrEqual(0)
  })

  it.each([1, 3])('with exit %i is exit_nonzero with its code and its last stderr lines', async (code) => {
    const { terminal } = await runToEnd(stack.client, shell(image, `echo why >&2; exit ${code}`))
    expect(terminal).toMatchObject({
      status: 'error',
      error: { code: 'exit_nonzero' },
      exit: { code, reason: 'exited' },
    })
    expect(terminal.error?.message).toContain('why')
  })

  it('by its own SIGTERM is exit 143 without a signal of ours', async () => {
    const { terminal } = await runToEnd(stack.client, shell(image, "sh -c 'kill -TERM $$'; exit $?"))
    expect(terminal).toMatchObject({
      status: 'error',
      error: { code: 'exit_nonzero' },
      exit: { code: 143, reason: 'exited' },
    })
    expect(terminal.exit.signal).toBeUndefined()
  })

  it('by the memory limit is oom, exit 137', async () => {
    const { terminal } = await runToEnd(
      stack.client,
      shell(image, 'exec tail /dev/zero', { resources: { memory: '16m', cpus: 1 } }),
    )
    expect(terminal).toMatchObject({
      status: 'error',
      error: { code: 'oom' },
      exit: { code: 137, oom_killed: true, reason: 'oom' },
    })
  })

  it('with exit 137 that nobody of ours caused is never guessed to be oom', async () => {
    const { terminal } = await runToEnd(stack.client, shell(image, 'exit 137'))
    expect(terminal).toMatchObject({
      status: 'error',
      error: { code: 'exit_nonzero' },
      exit: { code: 137, oom_killed: false },
    })
  })

  it('by its time-out is timeout', async () => {
    const { terminal } = await runToEnd(
      stack.client,
      shell(image, 'sleep 30', { timeout_seconds: 1, stop_grace_seconds: 1 }),
    )
    expect(terminal).toMatchObject({ status: 'error', error: { code: 'timeout' }, exit: { reason: 'timeout' } })
    expect(terminal.duration).toBeLessThan(10)
  })

  it('that ignores the stop signal is killed after the grace', async () => {
    const { terminal } = await runToEnd(
      stack.client,
      shell(image, "trap '' TERM; while :; do sleep 1; done", { timeout_seconds: 1, stop_grace_seconds: 1 }),
    )
    expect(terminal).toMatchObject({ error: { code: 'timeout' }, exit: { code: 137, signal: 'SIGKILL' } })
  })
})

describe('a container that cannot begin', () => {
  const cases: readonly [string, SubmitBody, string, RegExp][] = [
    [
      'bad entrypoint',
      { image, entrypoint: ['/no/such/program'] },
      'start_failed',
      /no\/such\/program|not found|no such file/i,
    ],
    ['missing command', { image, command: ['no-such-command'] }, 'start_failed', /no-such-command|not found/i],
    ['not executable', { image, command: ['/etc/passwd'] }, 'start_failed', /permission|executable|denied/i],
    [
      'bad user',
      { image, command: ['true'], user: 'nobody-of-that-name' },
      'start_failed',
      /nobody-of-that-name|user/i,
    ],
    [
      'missing image',
      { image: 'dray-no-such-image:1', command: ['true'], pull: 'never' },
      'image_not_found',
      /dray-no-such-image/,
    ],
  ]
  it.each(cases)('%s is told as what it is', async (_, body, code, words) => {
    const { terminal, job } = await runToEnd(stack.client, { ...body, resources: SMALL })
    expect(terminal).toMatchObject({ status: 'error', error: { code } })
    expect(terminal.error?.message).toMatch(words)
    expect(terminal.error?.hint.length).toBeGreaterThan(10)
    expect(job.attempts).toHaveLength(1)
  })

  it('with init, a missing command has exit code 127 and one that cannot be run 126', async () => {
    expect(
      (await runToEnd(stack.client, { image, command: ['no-such-command'], resources: SMALL })).terminal.exit.code,
    ).toBe(127)
    expect(
      (await runToEnd(stack.client, { image, command: ['/etc/passwd'], resources: SMALL })).terminal.exit.code,
    ).toBe(126)
  })

  it('whose image no registry answers for is image_pull_failed or image_not_found', async () => {
    const { terminal } = await runToEnd(stack.client, {
      image: '127.0.0.1:9/none:1',
      command: ['true'],
      resources: SMALL,
    })
    expect(['image_pull_failed', 'image_not_found']).toContain(terminal.error?.code)
  })
})
