// What becomes of claimed jobs when their agent falls silent: tried again at once, only when the old one must be gone, or lost
// after `lost_after_seconds`. An agent without a container, and the shortest leases that there are. NATS is away in this file.
import { afterAll, beforeAll, expect, it } from 'vitest'
import type { SubmitBody } from '../../shared/job-spec.ts'
import { startTestControlPlane, type TestControlPlane } from '../support/control-plane.ts'
import { eventually } from '../support/eventually.ts'

let plane: TestControlPlane
beforeAll(async () => {
  plane = await startTestControlPlane({ DRAY_LEASE_SECONDS: '4' })
})
afterAll(() => plane.close())

const show = async (id: string): Promise<Record<string, unknown>> => (await plane.call('GET', `/v1/jobs/${id}`)).body

it(
  'a silent agent’s jobs: queued again where agent_lost is retried, not before lost_after where exclusive, else agent_lost',
  { timeout: 40_000 },
  async () => {
    const agent = await plane.joinAgent('silent')
    const submit = async (more: SubmitBody): Promise<string> =>
      String((await plane.call('POST', '/v1/jobs', { body: { image: 'x', pool: agent.pool, ...more } })).body['id'])
    const retries = { max_attempts: 2, on: ['agent_lost' as const] }
    const soon = await submit({ retries })
    const patient = await submit({ retries: { ...retries, exclusive: true } })
    const lost = await submit({ lost_after_seconds: 1 })
    const kept = await submit({})
    const ids = [soon, patient, lost, kept]
    const held = (job: string) => ({ tenant: 'default', job, attempt: 1, n: 0, stdout_lines: 0, stderr_lines: 0 })
    let beat = 0
    await eventually(async () => {
      beat += 1
      const { body } = await agent.call('/heartbeat', { beat, boot_id: 'boot', attempts: [] })
      expect((body['attempts'] as { job: string }[]).map(({ job }) => job).toSorted()).toEqual(ids.toSorted())
    })
    for (const id of ids) expect((await agent.call(`/jobs/default/${id}/claim`, { attempt: 1, beat })).status).toBe(200)
    const running = ids.map((id) => ({ ...held(id), phase: 'running' }))
    await agent.call('/heartbeat', { beat: beat + 1, boot_id: 'boot', attempts: running })
    // From here on it says nothing.
    await eventually(
      async () => expect(await show(soon)).toMatchObject({ status: 'starting', phase: 'queued', attempt: 1 }),
      {
        deadlineMs: 15_000,
      },
    )
    await eventually(
      async () => expect(await show(lost)).toMatchObject({ status: 'error', error: { code: 'agent_lost' } }),
      {
        deadlineMs: 15_000,
      },
    )
    expect(await show(lost)).toMatchObject({ exit: { code: null, reason: 'lost' } })
    for (const id of [patient, kept])
      expect(await show(id)).toMatchObject({ status: 'running', phase: 'reconnecting', attempt: 1 })
    const back = [patient, kept].map((id) => ({ ...held(id), phase: 'running' }))
    await agent.call('/heartbeat', { beat: beat + 2, boot_id: 'boot', attempts: back })
    for (const id of [patient, kept]) expect(await show(id)).toMatchObject({ phase: 'running', attempt: 1 })
  },
)
