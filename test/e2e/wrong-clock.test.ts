// An agent's wall clock is a day ahead, a day behind, and steps while a job runs. Leases, ends and output know nothing of it;
// only times that the agent itself tells differ.
import path from 'node:path'
import { afterEach, beforeEach, describe, expect, inject, it } from 'vitest'
import { eventually } from '../support/eventually.ts'
import { assertContiguous, field, follow, runToEnd, shell } from '../support/jobs.ts'
import { startStack, type Stack } from '../support/stack.ts'
import { createWrongClock, type WrongClock } from '../support/wrong-clock.ts'

const DAY_MS = 86_400_000
const image = inject('busyboxImage')

let stack: Stack
beforeEach(async () => {
  stack = await startStack({ agents: 0 })
})
afterEach(() => stack.close())

async function startAgent(shiftMs: number): Promise<WrongClock> {
  const clock = createWrongClock(path.join(stack.dir, 'clock'), shiftMs)
  await stack.startAgent({ name: 'wrong', env: clock.env })
  return clock
}

async function cancelRunning(): Promise<unknown> {
  const { id } = await stack.client.submit(shell(image, 'echo up; sleep 60'))
  for await (const frame of stack.client.updates(id)) if (field(frame, 'content') === 'up') break
  await stack.client.cancel(id, { graceSeconds: 0 })
  return (await follow(stack.client, id)).terminal
}

describe.each([
  ['a day ahead', DAY_MS],
  ['a day behind', -DAY_MS],
])('an agent whose clock is %s', (_, shiftMs) => {
  it('runs jobs to their right ends within its lease; only times differ', async () => {
    await startAgent(shiftMs)
    // Longer than a lease of 6 s.
    const long = runToEnd(stack.client, shell(image, 'for i in $(seq 1 80); do echo $i; sleep 0.1; done'))
    const [failed, inTime, late, cancelled] = await Promise.all([
      runToEnd(stack.client, shell(image, 'echo no >&2; exit 3')),
      runToEnd(stack.client, shell(image, 'sleep 1', { timeout_seconds: 30 })),
      runToEnd(stack.client, shell(image, 'sleep 30', { timeout_seconds: 2, stop_grace_seconds: 1 })),
      cancelRunning(),
    ])
    expect(failed.terminal).toMatchObject({ status: 'error', error: { code: 'exit_nonzero' }, exit: { code: 3 } })
    expect(inTime.terminal).toMatchObject({ status: 'completed', exit: { reason: 'exited' } })
    expect(late.terminal).toMatchObject({ status: 'error', error: { code: 'timeout' }, exit: { reason: 'timeout' } })
    expect(cancelled).toMatchObject({ status: 'cancelled' })
    const { job, updates, gaps, terminal } = await long
    expect(terminal).toMatchObject({ status: 'completed', attempt: 1 })
    expect(job.attempts).toHaveLength(1)
    expect(gaps).toEqual([])
    assertContiguous(updates)
    const lines = updates.filter((update) => update['stream'] === 'stdout')
    expect(lines.map((update) => update['content'])).toEqual(Array.from({ length: 80 }, (__, at) => String(at + 1)))
    expect(Math.abs(Date.parse(String(updates[0]?.at)) - Date.now() - shiftMs)).toBeLessThan(60_000)
  }, 60_000)
})

describe('an agent whose clock steps', () => {
  it('back by two days between two starts: the later process is the newer one, and goes on with the job', async () => {
    const clock = await startAgent(DAY_MS)
    const { id } = await stack.client.submit(
      shell(image, 'for i in $(seq 1 200); do echo $i; sleep 0.05; done; exit 7'),
    )
    const watching = follow(stack.client, id)
    for await (const frame of stack.client.updates(id)) if (field(frame, 'content') === '20') break
    await stack.agents[0]?.stop('SIGKILL')
    clock.step(-DAY_MS)
    stack.agents[0]?.start()
    const { job, updates, gaps, terminal } = await watching
    expect(terminal).toMatchObject({ status: 'error', exit: { code: 7, reason: 'exited' }, attempt: 1 })
    expect(job.attempts).toHaveLength(1)
    expect(gaps).toEqual([])
    assertContiguous(updates)
    expect(updates.filter((update) => update['stream'] === 'stdout')).toHaveLength(200)
    const next = await runToEnd(stack.client, shell(image, 'echo next'))
    expect(next.terminal).toMatchObject({ status: 'completed', attempt: 1 })
  }, 60_000)

  it.each([
    ['forward', DAY_MS],
    ['back', -DAY_MS],
  ])(
    '%s by a day while a job with a time-out runs: it ends as it would have, in one attempt',
    async (__, shiftMs) => {
      const clock = await startAgent(0)
      const story = runToEnd(stack.client, shell(image, 'echo up; sleep 4; echo down', { timeout_seconds: 60 }))
      const cancelled = cancelRunning()
      await eventually(async () => expect((await stack.client.agents()).items[0]?.running).toHaveLength(2), {
        deadlineMs: 15_000,
      })
      clock.step(shiftMs)
      const { job, terminal, updates } = await story
      expect(terminal).toMatchObject({ status: 'completed', exit: { reason: 'exited' } })
      expect(job.attempts).toHaveLength(1)
      expect(updates.flatMap((update) => update['content'] ?? [])).toEqual(['up', 'down'])
      expect(await cancelled).toMatchObject({ status: 'cancelled' })
    },
    60_000,
  )
})
