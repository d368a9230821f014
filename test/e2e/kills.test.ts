// Kills at the moments that hurt: the control plane again and again under load, two control planes at once, an agent
// between its command and its claim, and between its grant and its container. Every job ends once.
import { afterEach, beforeEach, describe, expect, inject, it } from 'vitest'
import { createEngine } from '../../runner-agent/engine/engine-client.ts'
import type { Client } from '../../shared/client/create-client.ts'
import { eventually } from '../support/eventually.ts'
import { assertContiguous, follow, shell, SMALL } from '../support/jobs.ts'
import { startStack, type Stack } from '../support/stack.ts'
import { startStalledRegistry } from '../support/stalled-registry.ts'

let stack: Stack
beforeEach(async () => {
  stack = await startStack({ agents: 1 })
})
afterEach(() => stack.close())

const image = inject('busyboxImage')
const engine = createEngine({ socketPath: inject('engineSocket') })
const tiny = { resources: { memory: '32m', cpus: 0.1 } }

/** Submits with one key until there is an answer: what a careful client does. */
function submitSafely(client: Client, key: string, script: string): Promise<string> {
  return eventually(async () => (await client.submit(shell(image, script, tiny), { idempotencyKey: key })).id, {
    deadlineMs: 20_000,
    everyMs: 50,
    what: 'the submit is answered',
  })
}

async function expectEndedOnce(ids: readonly string[]): Promise<void> {
  for (const id of ids) {
    const { job, updates, gaps, terminal } = await follow(stack.client, id)
    expect(terminal.status, id).toBe('completed')
    // A boot of the control plane ends no lease: nothing ran twice.
    expect(job.attempts, id).toHaveLength(1)
    expect(
      job.transitions.filter(({ phase }) => phase === 'finished'),
      id,
    ).toHaveLength(1)
    expect(gaps, id).toEqual([])
    assertContiguous(updates)
  }
}

async function untilPhase(id: string, ...phases: string[]): Promise<void> {
  await eventually(async () => phases.includes((await stack.client.show(id)).phase), {
    deadlineMs: 15_000,
    everyMs: 5,
    what: `it is ${phases.join(' or ')}`,
  })
}

describe('the control plane', () => {
  it('killed twenty times under load: each accepted job is there, runs once and ends once', async () => {
    let stopped = false
    const ids = new Set<string>()
    const submitting = Array.from({ length: 2 }, async (_, lane) => {
      for (let number = 0; !stopped; number++)
        ids.add(await submitSafely(stack.client, `lane-${lane}-${number}`, 'echo a; sleep 0.5; echo b'))
    })
    for (let kill = 1; kill <= 20; kill++) {
      const before = ids.size
      await eventually(() => ids.size >= before + 2, { deadlineMs: 15_000, everyMs: 5, what: 'jobs are accepted' })
      await stack.controlPlane.stop('SIGKILL')
      await stack.startControlPlane()
    }
    stopped = true
    await Promise.all(submitting)
    const listed = await stack.client.list({ limit: 500 })
    expect(listed.items.map(({ id }) => id).toSorted()).toEqual([...ids].toSorted())
    await expectEndedOnce([...ids])
  }, 300_000)

  it('twice on one database: either may be asked, either may end or be killed, each job runs once', async () => {
    const other = await stack.addControlPlane()
    const clients = [stack.client, other.client]
    const submitBoth = (from: number): Promise<string[]> =>
      Promise.all(
        Array.from({ length: 10 }, (_, index) =>
          submitSafely(clients[index % 2] ?? stack.client, `job-${from + index}`, 'echo a; sleep 1; echo b'),
        ),
      )
    const first = await submitBoth(0)
    // In good order, with jobs running and a client watching through it.
    const watching = follow(other.client, first[1] ?? '')
    expect(await other.process.stop('SIGTERM')).toBe(0)
    other.process.start()
    expect((await watching).terminal.status).toBe('completed')
    const second = await submitBoth(10)
    await other.process.stop('SIGKILL')
    expect(new Set([...first, ...second]).size).toBe(20)
    await expectEndedOnce([...first, ...second])
  }, 180_000)
})

describe('an agent', () => {
  it('killed between its command and its claim: the next process runs the job, once', async () => {
    stack.agents[0]?.signal('SIGSTOP')
    const { id } = await stack.client.submit(shell(image, 'echo ran', tiny))
    await untilPhase(id, 'assigned')
    await stack.agents[0]?.stop('SIGKILL')
    stack.agents[0]?.start()
    await expectEndedOnce([id])
  }, 60_000)

  it('killed between its grant and its container: the attempt lapses, and the retry is another attempt', async () => {
    await using registry = await startStalledRegistry(inject('enginePid'))
    const { id } = await stack.client.submit({
      image: `${registry.host}/stalled:1`,
      command: ['true'],
      resources: SMALL,
      retries: { max_attempts: 2, on: ['agent_lost'] },
    })
    await eventually(() => registry.requests() > 0, { deadlineMs: 10_000, what: 'the engine asks the registry' })
    await stack.agents[0]?.stop('SIGKILL')
    stack.agents[0]?.start()
    await eventually(async () => expect((await stack.client.show(id)).attempts).toHaveLength(2), { deadlineMs: 20_000 })
    await stack.client.cancel(id, { graceSeconds: 0 })
    const { terminal, job } = await follow(stack.client, id)
    expect(terminal).toMatchObject({ status: 'cancelled', attempt: 2 })
    expect(job.transitions.filter(({ phase }) => phase === 'finished')).toHaveLength(1)
    expect(await engine.listContainers([`dray.job=${id}`])).toEqual([])
  }, 60_000)

  it('asked to end under load takes nothing new, ends its jobs within the grace, and loses none', async () => {
    const ids = await Promise.all(
      Array.from({ length: 6 }, (_, index) =>
        submitSafely(stack.client, `drained-${index}`, 'echo a; sleep 3; echo b'),
      ),
    )
    for (const id of ids) await untilPhase(id, 'running', 'finished')
    const asked = performance.now()
    expect(await stack.agents[0]?.stop('SIGTERM')).toBe(0)
    expect(performance.now() - asked).toBeLessThan(12_000)
    await expectEndedOnce(ids)
    expect((await engine.listContainers(ids.map((id) => `dray.job=${id}`))).length).toBe(0)
  }, 60_000)
})
