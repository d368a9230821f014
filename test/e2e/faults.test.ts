// The seams: NATS or the control plane go away in the middle of a job, and nothing of it is lost.
import { afterEach, beforeEach, describe, expect, inject, it } from 'vitest'
import { readFileSync } from 'node:fs'
import { eventually } from '../support/eventually.ts'
import { assertContiguous, follow, shell, field } from '../support/jobs.ts'
import { startStack, type Stack } from '../support/stack.ts'

let stack: Stack
beforeEach(async () => {
  stack = await startStack({ agents: 1 })
})
afterEach(() => stack.close())

const image = inject('busyboxImage')
const MIB = 2 ** 20

async function untilPrinted(id: string, text: string): Promise<void> {
  for await (const frame of stack.client.updates(id)) if (field(frame, 'content') === text) return
}

function residentMib(pid: number | undefined): number {
  const kib = /^VmHWM:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]
  return Number(kib) / 1024
}

describe('in the middle of a job', () => {
  it('NATS is restarted: every line is there, once', async () => {
    const { id } = await stack.client.submit(shell(image, 'for i in $(seq 1 40); do echo $i; sleep 0.1; done'))
    const watching = follow(stack.client, id)
    await untilPrinted(id, '5')
    await stack.nats.kill()
    await stack.nats.start()
    const { updates, terminal, gaps } = await watching
    expect(terminal.status).toBe('completed')
    expect(gaps).toEqual([])
    assertContiguous(updates)
    const lines = updates.filter((update) => update['stream'] === 'stdout').map((update) => update['content'])
    expect(lines).toEqual(Array.from({ length: 40 }, (_, index) => String(index + 1)))
  }, 60_000)

  it('the control plane is restarted: the job goes on, its updates and its end arrive', async () => {
    const { id } = await stack.client.submit(shell(image, 'for i in $(seq 1 50); do echo $i; sleep 0.1; done'))
    const watching = follow(stack.client, id)
    await untilPrinted(id, '5')
    await stack.controlPlane.stop('SIGKILL')
    await stack.startControlPlane()
    const { updates, terminal, job } = await watching
    expect(terminal.status).toBe('completed')
    expect(job.attempts).toHaveLength(1)
    assertContiguous(updates)
    expect(updates.filter((update) => update['stream'] === 'stdout')).toHaveLength(50)
  }, 60_000)

  it('submit answers 201 while NATS is away, and the job runs without a run command', async () => {
    await stack.nats.kill()
    const { id, phase } = await stack.client.submit(shell(image, 'echo ran'))
    expect(phase).toBe('queued')
    await eventually(async () => (await stack.client.show(id)).status === 'completed', {
      deadlineMs: 20_000,
      what: 'the job ends without NATS',
    })
    await stack.nats.start()
    const { updates, terminal } = await follow(stack.client, id)
    expect(terminal.status).toBe('completed')
    expect(updates.some((update) => update['content'] === 'ran')).toBe(true)
  }, 60_000)

  it("NATS is away for 60 s while a container prints 100 MiB: every line is there afterwards and the agent's memory is bounded", async () => {
    const lines = 100 * 1024
    const script = `echo begin; i=0; while [ $i -lt 100 ]; do yes ${'m'.repeat(1015)}$i | head -n 1024; i=$((i+1)); done; echo end`
    const { id } = await stack.client.submit(shell(image, script, { resources: { memory: '128m', cpus: 2 } }))
    await untilPrinted(id, 'begin')
    await stack.nats.kill()
    const back = performance.now() + 60_000
    await eventually(() => performance.now() > back, {
      deadlineMs: 70_000,
      everyMs: 500,
      what: 'NATS was away for 60 s',
    })
    const memoryMib = residentMib(stack.agents[0]?.pid)
    await stack.nats.start()
    const { updates, terminal, gaps } = await follow(stack.client, id)
    expect(terminal.status).toBe('completed')
    expect(gaps).toEqual([])
    assertContiguous(updates)
    const printed = updates.filter((update) => update['stream'] === 'stdout').map((update) => String(update['content']))
    expect(printed).toHaveLength(lines + 2)
    for (let index = 0; index < lines; index++)
      expect(printed[index + 1]).toBe(`${'m'.repeat(1015)}${Math.floor(index / 1024)}`)
    expect(memoryMib).toBeLessThan(256)
    expect((lines * 1017) / MIB).toBeGreaterThan(99)
  }, 180_000)
})
