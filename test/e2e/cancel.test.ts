// Cancel at each place of a job's way.
import { afterAll, beforeAll, describe, expect, inject, it } from 'vitest'
import { isStateFrame } from '../../shared/update.ts'
import { eventually } from '../support/eventually.ts'
import { follow, runToEnd, shell, SMALL, field } from '../support/jobs.ts'
import { startStalledRegistry } from '../support/stalled-registry.ts'
import { startStack, type Stack } from '../support/stack.ts'

let stack: Stack
beforeAll(async () => {
  stack = await startStack({ agents: 1 })
})
afterAll(() => stack.close())

const image = inject('busyboxImage')

async function untilPhase(id: string, phase: string): Promise<void> {
  await eventually(async () => (await stack.client.show(id)).phase === phase, {
    deadlineMs: 15_000,
    what: `the job is ${phase}`,
  })
}

describe('cancel', () => {
  it('while queued ends the job at once, attempt 0', async () => {
    const { id } = await stack.client.submit(shell(image, 'true', { pool: 'nobody-joined' }))
    expect(await stack.client.cancel(id)).toMatchObject({ status: 'cancelled', attempt: 0, cancel_requested: true })
    const { terminal, updates } = await follow(stack.client, id)
    expect(updates).toEqual([])
    expect(terminal).toMatchObject({
      status: 'cancelled',
      attempt: 0,
      duration: 0,
      exit: { code: null, reason: 'cancelled' },
      seq: 2 ** 32 - 1,
    })
  })

  it('while pulling stops the pull', async () => {
    await using registry = await startStalledRegistry(inject('enginePid'))
    const { id } = await stack.client.submit({
      image: `${registry.host}/stalled:1`,
      command: ['true'],
      resources: SMALL,
    })
    await untilPhase(id, 'pulling')
    await eventually(() => registry.requests() > 0, { what: 'the engine asks the registry' })
    await stack.client.cancel(id)
    const { terminal } = await follow(stack.client, id)
    expect(terminal).toMatchObject({ status: 'cancelled', exit: { code: null, reason: 'cancelled' }, duration: 0 })
  }, 40_000)

  it('while the container is being created never lets it run on', async () => {
    const { id } = await stack.client.submit(shell(image, 'sleep 60'))
    for await (const frame of stack.client.updates(id)) {
      if (frame.type === 'job_update' && field(frame, 'phase') === 'creating')
        await stack.client.cancel(id, { graceSeconds: 1 })
    }
    expect(await stack.client.show(id)).toMatchObject({ status: 'cancelled', exit: { reason: 'cancelled' } })
  }, 30_000)

  it('while running sends the stop signal, waits the grace, then kills', async () => {
    const { id } = await stack.client.submit(shell(image, "trap '' TERM; echo up; while :; do sleep 1; done"))
    let asked = 0
    for await (const frame of stack.client.updates(id)) {
      if (field(frame, 'content') !== 'up') continue
      asked = performance.now()
      await stack.client.cancel(id, { graceSeconds: 1 })
    }
    const tookMs = performance.now() - asked
    expect(await stack.client.show(id)).toMatchObject({
      status: 'cancelled',
      exit: { code: 137, signal: 'SIGKILL', reason: 'cancelled' },
    })
    expect(tookMs).toBeGreaterThan(900)
    expect(tookMs).toBeLessThan(10_000)
  }, 30_000)

  it('a second time may only shorten the grace', async () => {
    const { id } = await stack.client.submit(shell(image, "trap '' TERM; echo up; while :; do sleep 1; done"))
    for await (const frame of stack.client.updates(id)) {
      if (field(frame, 'content') !== 'up') continue
      await stack.client.cancel(id, { graceSeconds: 60 })
      await stack.client.cancel(id, { graceSeconds: 1 })
      await stack.client.cancel(id, { graceSeconds: 600 })
    }
    expect((await stack.client.show(id)).status).toBe('cancelled')
  }, 30_000)

  it('after the end is 409 for a completed job and 202 for a cancelled one', async () => {
    const { job } = await runToEnd(stack.client, shell(image, 'true'))
    await expect(stack.client.cancel(job.id)).rejects.toMatchObject({ code: 'conflict', status: 409 })
    const { id } = await stack.client.submit(shell(image, 'true', { pool: 'nobody-joined' }))
    await stack.client.cancel(id)
    expect((await stack.client.cancel(id)).status).toBe('cancelled')
  })

  it('shows the flag in a state frame while the container is given its grace', async () => {
    const { id } = await stack.client.submit(shell(image, "trap '' TERM; echo up; while :; do sleep 1; done"))
    const flags: boolean[] = []
    for await (const frame of stack.client.updates(id, { states: true })) {
      if (isStateFrame(frame)) flags.push(frame.cancel_requested)
      else if (field(frame, 'content') === 'up') await stack.client.cancel(id, { graceSeconds: 1 })
    }
    expect(flags).toContain(true)
  }, 30_000)
})
