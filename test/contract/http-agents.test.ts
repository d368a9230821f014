// PROTOCOL 3: what agents call, and what operators do with the fleet. NATS is away in this file.

import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { runToEnd } from '../support/agent-life.ts'
import { startTestControlPlane, type Answer, type TestControlPlane } from '../support/control-plane.ts'

let plane: TestControlPlane
beforeAll(async () => {
  plane = await startTestControlPlane()
})
afterAll(() => plane.close())

const idsOf = (answer: Answer): string[] => (answer.body['items'] as { id: string }[]).map(({ id }) => id)

describe('the fleet', () => {
  it('is shown, cordoned, uncordoned, drained and deleted with 202', async () => {
    const agent = await plane.joinAgent('fleet-1')
    const path = `/v1/agents/${agent.id}`
    await agent.call('/heartbeat', { beat: 1, boot_id: 'boot', attempts: [] })
    expect((await plane.call('GET', path)).body).toMatchObject({
      id: agent.id,
      name: 'fleet-1',
      state: 'ready',
      pool: 'fleet-1',
      protocol: 1,
    })
    expect(idsOf(await plane.call('GET', '/v1/agents'))).toContain(agent.id)
    for (const [action, state] of [
      ['cordon', 'cordoned'],
      ['uncordon', 'ready'],
      ['drain', 'draining'],
      ['uncordon', 'ready'],
    ]) {
      const answer = await plane.call('POST', `${path}/${action}`)
      expect([answer.status, answer.body['state']]).toEqual([202, state])
    }
    expect((await plane.call('DELETE', path)).status).toBe(202)
    expect((await plane.call('GET', path)).status).toBe(404)
    expect((await agent.call('/heartbeat', { beat: 2, boot_id: 'boot', attempts: [] })).status).toBe(401)
  })
})

describe('agents', () => {
  it('need the header dray-session: without it 400', async () => {
    const agent = await plane.joinAgent('sessionless')
    for (const session of ['', 'a.b'])
      expect((await agent.call('/heartbeat', { beat: 1, boot_id: 'b', attempts: [] }, session)).status).toBe(400)
  })

  it('learn nothing about their body without a key: 401 comes first', async () => {
    const agent = await plane.joinAgent('nosy')
    const call = async (body: unknown, key: string) =>
      (await plane.call('POST', '/v1/agents/self/heartbeat', { key, headers: { 'dray-session': 's' }, body })).status
    const beat = { beat: 1, boot_id: 'boot', attempts: [] }
    expect((await agent.call('/heartbeat', { beat: 'x' })).status).toBe(400)
    expect(await call({ beat: 'x' }, 'agent_wrong')).toBe(401)
    expect([await call(beat, 'agent_wrong'), await call(beat, 'dray_wrong'), await call(beat, '')]).toEqual([
      401, 401, 401,
    ])
    expect(await call({ beat: 'x' }, await plane.tenantKey('nosy'))).toBe(403)
  })

  it('that are older get 409 superseded', async () => {
    const agent = await plane.joinAgent('twice')
    const beat = { beat: 1, boot_id: 'boot', attempts: [] }
    expect((await agent.call('/heartbeat', beat)).status).toBe(200)
    expect((await agent.call('/heartbeat', beat, 'session-2')).status).toBe(200)
    const old = await agent.call('/heartbeat', { ...beat, beat: 2 })
    expect([old.status, old.body['code']]).toEqual([409, 'superseded'])
  })

  it('claim, finish and leave; a stale attempt is 409 fenced', async () => {
    const agent = await plane.joinAgent('worker')
    const id = await runToEnd(plane, agent)
    const job = (await plane.call('GET', `/v1/jobs/${id}`)).body
    expect(job).toMatchObject({ status: 'completed', result: { out: [1] }, exit: { code: 0 }, attempt: 1 })
    const stale = await agent.call(`/jobs/default/${id}/claim`, { attempt: 2, beat: 1 })
    expect([stale.status, stale.body['code']]).toEqual([409, 'fenced'])
    expect((await agent.call('/leave')).status).toBe(200)
  })

  it('cannot join with a wrong token', async () => {
    const answer = await plane.call('POST', '/v1/agents', {
      key: '',
      headers: { 'dray-session': 's' },
      body: {
        join_token: 'join_wrong',
        nkey: `U${'A'.repeat(55)}`,
        protocol: 1,
        version: '1',
        capacity: { cpus: 1, memory: 1, gpus: [], defaults: { memory: 1, cpus: 1 } },
        posture: {},
      },
    })
    expect(answer.status).toBe(401)
  })
})
