// What agents and the control plane say to each other over HTTP, field by field. NATS is away in this file.
import { createUser } from '@nats-io/nkeys'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { SESSION_HEADER } from '../../shared/agent-protocol.ts'
import { startAttempt } from '../support/agent-life.ts'
import { startTestControlPlane, type Answer, type TestControlPlane } from '../support/control-plane.ts'
import { eventually } from '../support/eventually.ts'

let plane: TestControlPlane
beforeAll(async () => {
  plane = await startTestControlPlane()
})
afterAll(() => plane.close())

const keysOf = (value: unknown): string[] => Object.keys(value as object).toSorted()
const first = (value: unknown): unknown => (value as unknown[])[0]

describe('agent calls', () => {
  it('joining again with the same nkey gives the same agent and a new key, and ends the old key', async () => {
    const token = (await plane.call('POST', '/v1/join-tokens', { body: {} })).body['token']
    const nkey = createUser().getPublicKey()
    const join = (protocol = 1): Promise<Answer> =>
      plane.call('POST', '/v1/agents', {
        key: '',
        headers: { [SESSION_HEADER]: 'ses-1' },
        body: {
          join_token: token,
          nkey,
          name: 'again',
          pool: 'again',
          protocol,
          version: '0.1.0',
          capacity: { cpus: 1, memory: 2 ** 30, gpus: [], defaults: { memory: 2 ** 29, cpus: 1 } },
          posture: {},
        },
      })
    const [once, twice] = [await join(), await join()]
    expect([once.status, twice.status]).toEqual([200, 200])
    expect(keysOf(once.body)).toEqual(['agent', 'key', 'lease_seconds', 'nats'])
    expect(once.body['nats']).toMatchObject({ urls: [expect.any(String)], jwt: expect.any(String) })
    expect(twice.body['agent']).toBe(once.body['agent'])
    expect(twice.body['key']).not.toBe(once.body['key'])
    const beat = (key: unknown): Promise<Answer> =>
      plane.call('POST', '/v1/agents/self/heartbeat', {
        key: String(key),
        headers: { [SESSION_HEADER]: 'ses-1' },
        body: { beat: 1, boot_id: 'b', attempts: [] },
      })
    expect((await beat(once.body['key'])).status).toBe(401)
    expect((await beat(twice.body['key'])).status).toBe(200)
    // One version newer is welcome, two are not: agent N works with control plane N and N-1.
    expect((await join(2)).status).toBe(200)
    expect((await join(3)).status).toBe(409)
  })

  it('a heartbeat is answered with the whole list of what is wanted: run, cancel, stop', async () => {
    const agent = await plane.joinAgent('beater')
    const { id } = await startAttempt(plane, agent)
    const held = (job: string) => ({
      tenant: 'default',
      job,
      attempt: 1,
      phase: 'running',
      n: 0,
      stdout_lines: 0,
      stderr_lines: 0,
    })
    const beat = (number: number): Promise<Answer> =>
      agent.call('/heartbeat', { beat: number, boot_id: 'boot', attempts: [held(id), held('of-nobody')] })
    const running = await beat(100)
    expect(keysOf(running.body)).toEqual(['attempts', 'cordoned', 'draining', 'lease_seconds', 'next_beat_seconds'])
    expect(running.body['attempts']).toEqual([
      { tenant: 'default', job: id, attempt: 1, image: 'x', want: 'run' },
      { tenant: 'default', job: 'of-nobody', attempt: 1, want: 'stop' },
    ])
    // The same beat again, as after a lost answer.
    expect((await beat(100)).body).toEqual(running.body)
    await plane.call('POST', `/v1/jobs/${id}/cancel`, { body: { grace_seconds: 7 } })
    expect(first((await beat(101)).body['attempts'])).toMatchObject({ job: id, want: 'cancel', grace_seconds: 7 })
  })

  it('a new process gets a NATS JWT with its first beat, and hears that it is cordoned and draining', async () => {
    const agent = await plane.joinAgent('fresh')
    const firstBeat = await agent.call('/heartbeat', { beat: 1, boot_id: 'boot', attempts: [] })
    expect(firstBeat.body['nats_jwt']).toEqual(expect.any(String))
    for (const action of ['cordon', 'drain']) await plane.call('POST', `/v1/agents/${agent.id}/${action}`)
    const second = await agent.call('/heartbeat', { beat: 2, boot_id: 'boot', attempts: [] })
    expect(second.body).toMatchObject({ cordoned: true, draining: true, attempts: [] })
  })

  it('a grant holds spec, env, secrets, limits, the cancel flag and where to resume', async () => {
    const agent = await plane.joinAgent('claimer')
    const made = await plane.call('POST', '/v1/jobs', { body: { image: 'x', pool: agent.pool } })
    const path = `/jobs/default/${String(made.body['id'])}/claim`
    const claimed = await eventually(async () => {
      await agent.call('/heartbeat', { beat: 1, boot_id: 'boot', attempts: [] })
      const answer = await agent.call(path, { attempt: 1, beat: 1 })
      expect(answer.status).toBe(200)
      return answer
    })
    expect(claimed.body).toMatchObject({
      spec: made.body['spec'],
      env: {},
      secrets: {},
      limits: { output_bytes: 256 * 2 ** 20, line_bytes: 8 * 2 ** 20 },
      gpus: [],
      cancel_requested: false,
      resume: { n: 0, stdout_lines: 0, stderr_lines: 0, subject_seq: 0, session: null },
    })
  })
})
