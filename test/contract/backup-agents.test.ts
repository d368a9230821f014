// What a restored control plane and its agents make of each other: agents hold what the backup shows, or something newer,
// or nothing any more; every job of the backup ends once. NATS is away in this file: none of this needs it.
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { terminalSeq } from '../../shared/position.ts'
import { eventually } from '../support/eventually.ts'
import { startRestoredPlane, type RestoredAgent, type RestoredPlane } from '../support/restored-plane.ts'

let plane: RestoredPlane
let agent: RestoredAgent
beforeEach(async () => {
  plane = await startRestoredPlane({ DRAY_LEASE_SECONDS: '4' })
  agent = await plane.join('holder')
})
afterEach(() => plane.close())

const again = { max_attempts: 2, on: ['agent_lost' as const] }
const events = (job: Record<string, unknown>): string[] =>
  (job['transitions'] as { event: string }[]).map(({ event }) => event)

describe('an attempt that the backup shows as claimed', () => {
  it('goes on where its process still holds it: asked to beat first, then its end counts', async () => {
    const id = await plane.run(agent)
    await plane.backup()
    await plane.restore()
    // Who is the agent's newest process, the restored database cannot know.
    expect(await agent.finish(id, 1)).toMatchObject({ status: 503, body: { code: 'unavailable' } })
    expect(await agent.beat([{ job: id, n: 3 }])).toMatchObject([{ job: id, attempt: 1, want: 'run' }])
    expect((await agent.finish(id, 1)).status).toBe(200)
    expect((await agent.finish(id, 1)).status).toBe(200)
    const job = await plane.show(id)
    expect(job).toMatchObject({ status: 'completed', attempt: 1001, result: { out: [1] } })
    expect(job['attempts']).toMatchObject([{ attempt: 1 }])
    expect(events(job).filter((event) => event === 'finished')).toHaveLength(1)
  })

  it.each([
    ['its beat', true],
    ['its finish', false],
  ])('goes on in a process that took it over after the backup: the row follows %s', async (_, beats) => {
    const id = await plane.run(agent)
    await plane.backup()
    await plane.restore()
    agent.restart()
    // A position tells that this process has its grant; without one, only its finish does.
    await agent.beat([{ job: id, n: beats ? 5 : 0 }])
    if (beats) expect(await plane.show(id)).toMatchObject({ phase: 'running' })
    expect((await agent.finish(id, 1)).status).toBe(200)
    expect(await plane.show(id)).toMatchObject({ status: 'completed', result: { out: [1] } })
  })

  it('lapses with the first beat that does not list it: its retries run it again, else it is lost', async () => {
    const retried = await plane.run(agent, { retries: again })
    const lost = await plane.run(agent, { lost_after_seconds: 1 })
    await plane.backup()
    // After the backup both end: the agent holds nothing any more.
    for (const id of [retried, lost]) expect((await agent.finish(id, 1)).status).toBe(200)
    await plane.restore()
    await agent.beat()
    // Beats go on: it is queued again once no reader can be sure any more of the attempt, and then placed here.
    await eventually(
      async () => {
        await agent.beat()
        expect(await plane.show(retried)).toMatchObject({ phase: 'assigned' })
      },
      { deadlineMs: 10_000, everyMs: 500, what: 'it is tried again' },
    )
    expect(await agent.beat()).toMatchObject([{ job: retried, attempt: 1002, want: 'run' }])
    expect((await agent.claim(retried, 1002)).status).toBe(200)
    expect((await agent.finish(retried, 1002)).status).toBe(200)
    const ended = await plane.show(retried)
    expect(ended).toMatchObject({ status: 'completed', attempt: 1002 })
    // Beats go on meanwhile, or the agent itself would be the lost one.
    await eventually(
      async () => {
        await agent.beat()
        expect(await plane.show(lost)).toMatchObject({ status: 'error', error: { code: 'agent_lost' } })
      },
      { deadlineMs: 15_000, everyMs: 500 },
    )
  }, 40_000)

  it('stays cancelled where the cancel was in the backup', async () => {
    const id = await plane.run(agent)
    await plane.first.call('POST', `/v1/jobs/${id}/cancel`)
    await plane.backup()
    await plane.restore()
    expect(await agent.beat([{ job: id, n: 1 }])).toMatchObject([{ job: id, want: 'cancel' }])
  })
})

describe('what the backup does not know', () => {
  it('is stopped by the next beat: later attempts, and jobs that came after it', async () => {
    const id = await plane.run(agent, { retries: again })
    const waiting = await plane.submit(agent, { agent_labels: { none: 'here' }, queue_ttl_seconds: 600 })
    await plane.backup()
    await plane.restore()
    const wants = await agent.beat([
      { job: id, attempt: 2, n: 4 },
      { job: waiting, attempt: 1, n: 4 },
      { job: 'later', n: 1 },
    ])
    const stops = wants
      .filter(({ want }) => want === 'stop')
      .map(({ job, attempt }) => `${String(job)}/${String(attempt)}`)
    expect(new Set(stops)).toEqual(new Set([`${id}/2`, `${waiting}/1`, 'later/1']))
    expect((await agent.claim(id, 2)).status).toBe(409)
    expect((await agent.finish(waiting, 1)).status).toBe(409)
    expect((await agent.finish('later', 1)).status).toBe(409)
  })

  it('is never taken for what comes: an assignment of the backup gets another number', async () => {
    const id = await plane.submit(agent)
    await eventually(async () => (await agent.beat()).length === 1)
    await plane.backup()
    expect((await agent.claim(id, 1)).status).toBe(200)
    await plane.restore()
    // The same agent may get the job again, and must see that it is another attempt.
    await eventually(async () => {
      const wants = await agent.beat([{ job: id, attempt: 1, n: 9 }])
      expect(wants).toContainEqual({ tenant: 'default', job: id, attempt: 1, want: 'stop' })
      expect(wants).toContainEqual(expect.objectContaining({ job: id, attempt: 1001, want: 'run' }))
    })
  })

  it('leaves a client no terminal of before: cancelled in the queue, the job ends beyond all old cursors', async () => {
    const id = await plane.submit(agent, { agent_labels: { none: 'here' }, queue_ttl_seconds: 600 })
    await plane.backup()
    await plane.restore()
    const key = plane.first.adminKey
    const cancelled = await plane.call('POST', `/v1/jobs/${id}/cancel`, { key, body: {} })
    expect(cancelled.body).toMatchObject({ status: 'cancelled', attempt: 1000 })
    const cursor = 5
    const { body } = await plane.call('GET', `/v1/jobs/${id}/updates?after=${cursor}`, { key })
    expect(body['updates']).toMatchObject([{ type: 'gap' }, { status: 'cancelled', seq: terminalSeq(1000) }])
  })
})
