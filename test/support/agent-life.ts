// The life of one attempt as an agent lives it over HTTP, without a container.

import { expect } from 'vitest'
import type { TestAgent, TestControlPlane } from './control-plane.ts'
import { eventually } from './eventually.ts'

export interface RunningAttempt {
  readonly id: string
  readonly finish: (updates: number) => Promise<void>
}

/** Submits a job of the admin's tenant and claims it with this agent. */
export async function startAttempt(plane: TestControlPlane, agent: TestAgent): Promise<RunningAttempt> {
  const made = await plane.call('POST', '/v1/jobs', { body: { image: 'x', pool: agent.pool } })
  const id = String(made.body['id'])
  let beat = 0
  await eventually(async () => {
    beat += 1
    const answer = await agent.call('/heartbeat', { beat, boot_id: 'boot', attempts: [] })
    return (answer.body['attempts'] as { job: string; want: string }[]).some(
      ({ job, want }) => job === id && want === 'run',
    )
  })
  const held = { tenant: 'default', job: id, attempt: 1, phase: 'pulling', n: 0, stdout_lines: 0, stderr_lines: 0 }
  const claim = await agent.call(`/jobs/default/${id}/claim`, { attempt: 1, beat })
  expect(claim.status, claim.text).toBe(200)
  expect(claim.body).toMatchObject({ spec: { image: 'x' }, resume: { n: 0, session: null }, cancel_requested: false })
  await agent.call('/heartbeat', { beat: beat + 1, boot_id: 'boot', attempts: [{ ...held, phase: 'running' }] })
  return { id, finish: (updates) => finish(agent, id, updates) }
}

export async function runToEnd(plane: TestControlPlane, agent: TestAgent): Promise<string> {
  const { id, finish: end } = await startAttempt(plane, agent)
  await end(0)
  return id
}

/** Twice: agents repeat what they got no answer to. */
async function finish(agent: TestAgent, id: string, updates: number): Promise<void> {
  const now = new Date().toISOString()
  const end = {
    attempt: 1,
    exit: { code: 0, oom_killed: false, reason: 'exited' },
    started_at: now,
    finished_at: now,
    image_digest: null,
    result: { out: [1] },
    updates,
  }
  for (let time = 0; time < 2; time += 1) {
    const answer = await agent.call(`/jobs/default/${id}/finish`, end)
    expect(answer.status, answer.text).toBe(200)
  }
}
