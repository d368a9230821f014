// The agent process dies in the middle of jobs: what runs goes on, and nothing that it said is lost or said twice.
import { afterEach, beforeEach, describe, expect, inject, it } from 'vitest'
import { createEngine } from '../../runner-agent/engine/engine-client.ts'
import { eventually } from '../support/eventually.ts'
import { assertContiguous, field, follow, shell } from '../support/jobs.ts'
import { startStack, type Stack } from '../support/stack.ts'

let stack: Stack
beforeEach(async () => {
  stack = await startStack({ agents: 1 })
})
afterEach(() => stack.close())

const image = inject('busyboxImage')
const engine = createEngine({ socketPath: inject('engineSocket') })

async function statesOf(job: string): Promise<string[]> {
  return (await engine.listContainers([`dray.job=${job}`])).map(({ state }) => state)
}

async function untilPrinted(id: string, text: string): Promise<void> {
  for await (const frame of stack.client.updates(id)) if (field(frame, 'content') === text) return
}

describe('an agent', () => {
  it('killed ten times while a container prints: every line is there, once, in one attempt', async () => {
    const count = 600
    const { id } = await stack.client.submit(
      shell(image, `for i in $(seq 1 ${count}); do echo $i; sleep 0.02; done; exit 7`),
    )
    const watching = follow(stack.client, id)
    await untilPrinted(id, '1')
    for (let kill = 1; kill <= 10; kill++) {
      await untilPrinted(id, String(kill * 40))
      await stack.agents[0]?.stop('SIGKILL')
      stack.agents[0]?.start()
    }
    const { updates, terminal, gaps, job } = await watching
    expect(terminal).toMatchObject({ status: 'error', exit: { code: 7, reason: 'exited' } })
    expect(job.attempts).toHaveLength(1)
    expect(gaps).toEqual([])
    assertContiguous(updates)
    const lines = updates.filter((update) => update['stream'] === 'stdout').map((update) => update['content'])
    expect(lines).toEqual(Array.from({ length: count }, (_, index) => String(index + 1)))
  }, 90_000)

  it('killed before the end finds a container that has ended', async () => {
    const { id } = await stack.client.submit(shell(image, 'echo begin; sleep 2; echo end'))
    const watching = follow(stack.client, id)
    await untilPrinted(id, 'begin')
    await stack.agents[0]?.stop('SIGKILL')
    await eventually(async () => expect(await statesOf(id)).toEqual(['exited']), { deadlineMs: 10_000 })
    stack.agents[0]?.start()
    const { updates, terminal } = await watching
    expect(terminal.status).toBe('completed')
    expect(updates.map((update) => update['content']).filter((content) => content !== undefined)).toEqual([
      'begin',
      'end',
    ])
  }, 60_000)

  it('killed when its job had finished and nothing of it was stored: the next process says what was told, no gap', async () => {
    await stack.nats.kill()
    const { id } = await stack.client.submit(shell(image, 'for i in $(seq 1 50); do echo $i; done'))
    await eventually(async () => expect((await stack.client.show(id)).status).toBe('completed'), { deadlineMs: 20_000 })
    await stack.agents[0]?.stop('SIGKILL')
    await stack.nats.start()
    stack.agents[0]?.start()
    const { updates, gaps } = await follow(stack.client, id)
    expect(gaps).toEqual([])
    assertContiguous(updates)
    expect(updates.filter((update) => update['stream'] === 'stdout')).toHaveLength(50)
  }, 60_000)

  it('frozen for longer than its lease comes back with the same attempt', async () => {
    const { id } = await stack.client.submit(shell(image, 'for i in $(seq 1 150); do echo $i; sleep 0.1; done'))
    const watching = follow(stack.client, id)
    await untilPrinted(id, '5')
    stack.agents[0]?.signal('SIGSTOP')
    const back = setTimeout(() => stack.agents[0]?.signal('SIGCONT'), 9_000)
    const { updates, terminal, job } = await watching
    clearTimeout(back)
    expect(terminal.status).toBe('completed')
    expect(job.attempts).toHaveLength(1)
    assertContiguous(updates)
    expect(updates.filter((update) => update['stream'] === 'stdout')).toHaveLength(150)
  }, 60_000)

  it('killed for good: with agent_lost in its retries the job runs again on another one', async () => {
    const body = shell(image, 'echo try; sleep 5; echo done', { retries: { max_attempts: 2, on: ['agent_lost'] } })
    const { id } = await stack.client.submit(body)
    const watching = follow(stack.client, id)
    await untilPrinted(id, 'try')
    await stack.agents[0]?.stop('SIGKILL')
    await stack.startAgent({ name: 'agent-2' })
    const { terminal, job } = await watching
    expect(terminal).toMatchObject({ status: 'completed', attempt: 2 })
    expect(job.attempts).toHaveLength(2)
    // The old container is stopped on the first contact.
    stack.agents[0]?.start()
    await eventually(async () => expect(await statesOf(id)).toEqual([]), { deadlineMs: 10_000 })
  }, 60_000)
})
