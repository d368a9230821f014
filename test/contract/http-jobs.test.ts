// PROTOCOL 3, clients' calls about jobs, against the real store and core. NATS is away in this file.

import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { runToEnd } from '../support/agent-life.ts'
import { startTestControlPlane, type Answer, type TestControlPlane } from '../support/control-plane.ts'

let plane: TestControlPlane
let tenantKey: string
let otherKey: string
beforeAll(async () => {
  plane = await startTestControlPlane()
  tenantKey = await plane.tenantKey('t1')
  otherKey = await plane.tenantKey('t2')
})
afterAll(() => plane.close())

const submit = (
  body: object = { image: 'x' },
  headers: Record<string, string> = {},
  key = tenantKey,
): Promise<Answer> => plane.call('POST', '/v1/jobs', { key, body, headers })
const get = (path: string, key = tenantKey): Promise<Answer> => plane.call('GET', path, { key })
const idOf = (answer: Answer): string => String(answer.body['id'])
const newJob = async (body?: object): Promise<string> => idOf(await submit(body))
const idsOf = (answer: Answer): string[] => (answer.body['items'] as { id: string }[]).map(({ id }) => id)

describe('POST /v1/jobs', () => {
  it('answers 201 with the job and its Location while NATS is down, in phase queued', async () => {
    const answer = await submit({ image: 'x', name: 'mine', labels: { team: 'a' } })
    expect(answer.status).toBe(201)
    expect(answer.headers.get('location')).toBe(`/v1/jobs/${idOf(answer)}`)
    expect(answer.body).toMatchObject({
      name: 'mine',
      tenant: 't1',
      status: 'starting',
      phase: 'queued',
      cancel_requested: false,
      attempt: 0,
      attempts: [],
      labels: { team: 'a' },
    })
    expect(answer.body['created_at']).toMatch(/^\d{4}-\d\d-\d\dT[\d:.]+Z$/)
    expect((await get('/readyz')).status).toBe(503)
  })

  it('gives the same job for the same Idempotency-Key and body, whatever the order of its keys', async () => {
    const headers = { 'idempotency-key': 'key 1 !~' }
    const first = await submit({ image: 'x', env: { A: '1', B: '2' } }, headers)
    const second = await submit({ env: { B: '2', A: '1' }, image: 'x' }, headers)
    expect([first.status, second.status]).toEqual([201, 200])
    expect(idOf(second)).toBe(idOf(first))
  })

  it('answers 409 idempotency_mismatch for another body', async () => {
    const headers = { 'idempotency-key': 'key-2' }
    await submit({ image: 'x' }, headers)
    const answer = await submit({ image: 'y' }, headers)
    expect(answer.status).toBe(409)
    expect(answer.body['code']).toBe('idempotency_mismatch')
  })

  it('keeps Idempotency-Keys per tenant', async () => {
    const headers = { 'idempotency-key': 'key-3' }
    const mine = await submit({ image: 'x' }, headers)
    const theirs = await submit({ image: 'y' }, headers, otherKey)
    expect([mine.status, theirs.status]).toEqual([201, 201])
  })

  it('makes one job of 20 submits at once with one Idempotency-Key', async () => {
    const answers = await Promise.all(
      Array.from({ length: 20 }, () => submit({ image: 'z' }, { 'idempotency-key': 'key-4' })),
    )
    expect(new Set(answers.map(idOf)).size).toBe(1)
    expect(answers.filter(({ status }) => status === 201)).toHaveLength(1)
    expect(answers.every(({ status }) => status === 200 || status === 201)).toBe(true)
  })

  it('takes request.job_id as the id within the tenant, and answers 409 conflict for a taken one', async () => {
    const body = { image: 'x', request: { job_id: 'my-job' } }
    expect(idOf(await submit(body))).toBe('my-job')
    const again = await submit(body)
    expect([again.status, again.body['code']]).toEqual([409, 'conflict'])
    expect((await submit(body, {}, otherKey)).status).toBe(201)
  })

  it('shows secrets of the request to nobody', async () => {
    const answer = await submit({ image: 'x', request: { auth_token: 'planted-secret' } })
    expect(answer.status).toBe(201)
    expect(answer.text + (await get(`/v1/jobs/${idOf(answer)}`)).text).not.toContain('planted-secret')
  })
})

describe('GET /v1/jobs', () => {
  it('lists newest first, in pages that neither repeat nor leave out', async () => {
    const key = await plane.tenantKey('pages')
    const made: string[] = []
    for (let count = 0; count < 7; count += 1) made.push(idOf(await submit({ image: 'x' }, {}, key)))
    const seen: string[] = []
    let cursor = ''
    do {
      const page: Answer = await get(`/v1/jobs?limit=3${cursor && `&cursor=${encodeURIComponent(cursor)}`}`, key)
      seen.push(...idsOf(page))
      cursor = (page.body['cursor'] as string | null) ?? ''
    } while (cursor !== '')
    expect(seen).toEqual(made.toReversed())
  })

  it('filters by several statuses, by label and by pool', async () => {
    const key = await plane.tenantKey('filters')
    const waiting = idOf(await submit({ image: 'x', labels: { team: 'a' } }, {}, key))
    const cancelled = idOf(await submit({ image: 'x', pool: 'p2' }, {}, key))
    await plane.call('POST', `/v1/jobs/${cancelled}/cancel`, { key })
    expect(idsOf(await get('/v1/jobs?status=cancelled', key))).toEqual([cancelled])
    expect(idsOf(await get('/v1/jobs?status=cancelled,starting', key))).toEqual([cancelled, waiting])
    expect(idsOf(await get('/v1/jobs?label=team:a', key))).toEqual([waiting])
    expect(idsOf(await get('/v1/jobs?pool=p2', key))).toEqual([cancelled])
    expect(idsOf(await get('/v1/jobs?label=team:b', key))).toEqual([])
  })
})

describe('GET /v1/jobs/{id}', () => {
  it('shows transitions, and while it waits its place and why', async () => {
    const { body } = await get(`/v1/jobs/${await newJob({ image: 'x', pool: 'nobody' })}`)
    expect(body['transitions']).toEqual([expect.objectContaining({ rev: 1, status: 'starting', phase: 'queued' })])
    expect(body['queue']).toMatchObject({ position: 1, why: expect.any(String), agents: [] })
  })
})

describe('cancel and retry', () => {
  it('cancel answers 202, and 202 again for an already cancelled job', async () => {
    const id = await newJob()
    for (const body of [undefined, { grace_seconds: 5 }, {}]) {
      const answer = await plane.call('POST', `/v1/jobs/${id}/cancel`, { key: tenantKey, body })
      expect([answer.status, answer.body['status']]).toEqual([202, 'cancelled'])
    }
  })

  it('cancel answers 409 on a job that ended otherwise', async () => {
    const agent = await plane.joinAgent('finisher')
    const id = await runToEnd(plane, agent)
    const answer = await plane.call('POST', `/v1/jobs/${id}/cancel`, { key: plane.adminKey })
    expect([answer.status, answer.body['code']]).toEqual([409, 'conflict'])
  })

  it('retry answers 409 while the job is live, then 201 with a new job of the same spec', async () => {
    const id = await newJob({ image: 'again', request: { job_id: 'retry-me' } })
    expect((await plane.call('POST', `/v1/jobs/${id}/retry`, { key: tenantKey })).status).toBe(409)
    await plane.call('POST', `/v1/jobs/${id}/cancel`, { key: tenantKey })
    const retried = await plane.call('POST', `/v1/jobs/${id}/retry`, { key: tenantKey, body: {} })
    expect(retried.status).toBe(201)
    expect(retried.headers.get('location')).toBe(`/v1/jobs/${idOf(retried)}`)
    expect(retried.body).toMatchObject({ retry_of: id, status: 'starting', spec: { image: 'again' } })
    expect(idOf(retried)).not.toBe(id)
  })
})
