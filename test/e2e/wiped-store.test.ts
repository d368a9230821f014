// NATS loses everything that it stored. Clients hear what is gone as a gap, and nothing else is missing.
import { afterEach, beforeEach, describe, expect, inject, it } from 'vitest'
import { nOf, seqOf } from '../../shared/position.ts'
import { eventually } from '../support/eventually.ts'
import { field, follow, runToEnd, shell } from '../support/jobs.ts'
import { startStack, type Stack } from '../support/stack.ts'

let stack: Stack
beforeEach(async () => {
  stack = await startStack({ agents: 1 })
})
afterEach(() => stack.close())

const image = inject('busyboxImage')

async function wipeNats(): Promise<void> {
  await stack.nats.kill()
  await stack.nats.wipe()
  await stack.nats.start()
}

async function changes(): Promise<string | undefined> {
  const answer = await fetch(`${stack.url}/metrics`, { headers: { authorization: `Bearer ${stack.token}` } })
  return /^dray_updates_stream_incarnation_changes_total (\d+)$/m.exec(await answer.text())?.[1]
}

describe('a store of updates that was wiped', () => {
  it('is a gap up to N for a job that had ended, then its terminal update; metrics and log say it', async () => {
    const told = await runToEnd(stack.client, shell(image, 'echo one; echo two'))
    // Its container is there until all of it is stored, so what a wipe takes is really gone.
    await eventually(async () => expect(await changes()).toBe('0'))
    await wipeNats()
    const last = told.updates.at(-1)?.seq ?? 0
    const { updates, gaps, terminal } = await eventually(() => follow(stack.client, told.job.id), {
      deadlineMs: 15_000,
    })
    expect(updates).toEqual([])
    expect(gaps).toEqual([{ type: 'gap', from: seqOf(1, 1), to: last }])
    expect(terminal).toEqual(told.terminal)
    await eventually(async () => expect(await changes()).toBe('1'), { deadlineMs: 15_000 })
    expect(stack.controlPlane.output()).toContain('"change":"recreated"')
  })

  it('while the agent was dead: the job goes on behind what was told, with every later line', async () => {
    const { id } = await stack.client.submit(shell(image, 'for i in $(seq 1 200); do echo $i; sleep 0.05; done'))
    let cursor = 0
    for await (const frame of stack.client.updates(id)) {
      cursor = Number(field(frame, 'seq') ?? cursor)
      if (field(frame, 'content') === '40') break
    }
    await stack.agents[0]?.stop('SIGKILL')
    await wipeNats()
    stack.agents[0]?.start()
    const { updates, gaps, terminal } = await follow(stack.client, id, cursor)
    expect(terminal).toMatchObject({ status: 'completed', attempt: 1 })
    // One jump, said as one gap; behind it n counts on without a hole.
    expect(gaps).toHaveLength(1)
    const behind = updates.filter(({ seq }) => seq > (gaps[0]?.to ?? 0))
    expect(nOf(behind[0]?.seq ?? 0)).toBeGreaterThan(2 ** 20)
    expect(behind.map(({ seq }) => seq - (behind[0]?.seq ?? 0))).toEqual(behind.map((_, index) => index))
    // At most one heartbeat of lines comes again after it; none is missing.
    const lines = behind.filter((update) => update['stream'] === 'stdout').map((update) => Number(update['content']))
    expect(lines).toEqual(Array.from({ length: lines.length }, (_, index) => 200 - lines.length + 1 + index))
    expect(lines[0]).toBeLessThanOrEqual(41)
  })

  it('after an attempt was lost: that attempt is a gap, and the retry is whole', async () => {
    const retries = { max_attempts: 2, on: ['agent_lost' as const] }
    const { id } = await stack.client.submit(
      shell(image, 'for i in $(seq 1 100); do echo $i; sleep 0.05; done', { retries }),
    )
    // Four seconds: its agent has told several times how far it came.
    for await (const frame of stack.client.updates(id)) if (field(frame, 'content') === '80') break
    await stack.agents[0]?.stop('SIGKILL')
    const queued = async () => expect(await stack.client.show(id)).toMatchObject({ phase: 'queued', attempt: 1 })
    await eventually(queued, { deadlineMs: 20_000 })
    await wipeNats()
    stack.agents[0]?.start()
    const { updates, gaps, terminal } = await follow(stack.client, id)
    expect(terminal).toMatchObject({ status: 'completed', attempt: 2 })
    expect(gaps).toMatchObject([{ from: seqOf(1, 1) }])
    expect(nOf(gaps[0]?.to ?? 0)).toBeGreaterThan(10)
    expect(new Set(updates.map(({ attempt }) => attempt))).toEqual(new Set([2]))
    expect(updates.filter((update) => update['stream'] === 'stdout')).toHaveLength(100)
  })
})
