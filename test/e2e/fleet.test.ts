// Agents: several jobs at once, two agents, one that comes late, cordon, drain.
import { afterAll, beforeAll, describe, expect, inject, it } from 'vitest'
import { eventually } from '../support/eventually.ts'
import { follow, runToEnd, shell, field } from '../support/jobs.ts'
import { startStack, type Stack } from '../support/stack.ts'

let stack: Stack
beforeAll(async () => {
  stack = await startStack({ agents: 1 })
})
afterAll(() => stack.close())

const image = inject('busyboxImage')
const tiny = { resources: { memory: '64m', cpus: 0.1 } }

describe('agents', () => {
  it('runs 20 jobs at once on one agent, each with its own output', async () => {
    const ids = await Promise.all(
      Array.from(
        { length: 20 },
        async (_, index) => (await stack.client.submit(shell(image, `echo ${index}; sleep 1`, tiny))).id,
      ),
    )
    const stories = await Promise.all(ids.map((id) => follow(stack.client, id)))
    stories.forEach(({ terminal, updates }, index) => {
      expect(terminal.status).toBe('completed')
      expect(updates.find((update) => update['stream'] === 'stdout')?.['content']).toBe(String(index))
    })
  }, 90_000)

  it('reports capacity, posture, version and what runs', async () => {
    const { items } = await stack.client.agents()
    expect(items).toHaveLength(1)
    const [agent] = items
    expect(agent).toMatchObject({ state: 'ready', pool: 'default', protocol: 1 })
    expect(agent!.capacity.cpus).toBeGreaterThan(0)
    expect(agent!.capacity.memory).toBeGreaterThan(2 ** 28)
    expect(Array.isArray(agent!.posture.degraded)).toBe(true)
    const { id } = await stack.client.submit(shell(image, 'echo up; sleep 60', tiny))
    for await (const frame of stack.client.updates(id)) {
      if (field(frame, 'content') !== 'up') continue
      const [busy] = (await stack.client.agents()).items
      expect(busy!.running).toEqual([{ tenant: 'default', job: id, attempt: 1 }])
      expect(busy!.used.memory).toBe(64 * 2 ** 20)
      await stack.client.cancel(id, { graceSeconds: 1 })
    }
  }, 30_000)

  it('gives no work to a cordoned agent, and says why the job waits', async () => {
    const [agent] = (await stack.client.agents()).items
    await stack.client.setAgent(agent!.id, 'cordon')
    const { id } = await stack.client.submit(shell(image, 'true', tiny))
    const waiting = await stack.client.show(id)
    expect(waiting).toMatchObject({
      phase: 'queued',
      queue: { position: 1, agents: [{ agent: agent!.id, lacks: ['the agent is cordoned'] }] },
    })
    await stack.client.setAgent(agent!.id, 'uncordon')
    expect((await follow(stack.client, id)).terminal.status).toBe('completed')
  }, 30_000)

  it('places jobs by pool and labels on two agents', async () => {
    const second = await stack.startAgent({ name: 'second', pool: 'gpu', labels: { zone: 'b' } })
    const { job } = await runToEnd(
      stack.client,
      shell(image, 'true', { ...tiny, pool: 'gpu', agent_labels: { zone: 'b' } }),
    )
    const agents = (await stack.client.agents()).items
    expect(job.attempts[0]?.agent).toBe(agents.find((agent) => agent.name === 'second')?.id)
    const { job: other } = await runToEnd(stack.client, shell(image, 'true', tiny))
    expect(other.attempts[0]?.agent).not.toBe(job.attempts[0]?.agent)
    await second.stop()
  }, 30_000)

  it('starts waiting jobs within a second of an agent that joins', async () => {
    const { id } = await stack.client.submit(shell(image, 'true', { ...tiny, pool: 'late' }))
    expect(await stack.client.show(id)).toMatchObject({ queue: { why: 'no agent has joined pool "late"' } })
    const late = await stack.startAgent({ name: 'late', pool: 'late' })
    const { job } = await follow(stack.client, id)
    const joined = job.transitions.find(({ event }) => event === 'assigned')
    const claimed = job.transitions.find(({ event }) => event === 'claimed')
    const agent = await eventually(
      async () => (await stack.client.agents()).items.find(({ name }) => name === 'late'),
      { what: 'the agent is listed' },
    )
    expect(agent?.name).toBe('late')
    expect(Date.parse(claimed!.at) - Date.parse(joined!.at)).toBeLessThan(1_000)
    await late.stop()
  }, 30_000)

  it('ends a job that no agent could ever run at once, unless it said how long it waits', async () => {
    const huge = { resources: { memory: '900g' } }
    const { terminal } = await runToEnd(stack.client, shell(image, 'true', huge))
    expect(terminal).toMatchObject({ status: 'error', error: { code: 'unsatisfiable' }, attempt: 0 })
    const waited = await runToEnd(stack.client, shell(image, 'true', { ...huge, queue_ttl_seconds: 1 }))
    expect(waited.terminal).toMatchObject({ status: 'error', error: { code: 'expired' } })
  }, 30_000)

  it('drains on SIGTERM: finishes its job, takes no new one, leaves cleanly', async () => {
    const agent = await stack.startAgent({ name: 'drained', pool: 'drain' })
    const { id } = await stack.client.submit(shell(image, 'echo up; sleep 2; echo done', { ...tiny, pool: 'drain' }))
    for await (const frame of stack.client.updates(id)) if (field(frame, 'content') === 'up') break
    expect(await agent.stop('SIGTERM')).toBe(0)
    const { terminal } = await follow(stack.client, id)
    expect(terminal.status).toBe('completed')
    const listed = (await stack.client.agents()).items.find(({ name }) => name === 'drained')
    expect(listed?.state).toBe('lost')
  }, 30_000)
})
