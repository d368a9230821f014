// What every runtime's control plane must do, with real agents, a real nats-server and a real engine: the same sentences
// for Node, Deno and workerd. A runtime's test file calls this; what only one of them can show stays there.
import { afterAll, beforeAll, describe, expect, inject, it } from 'vitest'
import type { SubmitBody } from '../../shared/job-spec.ts'
import { isStateFrame, type Frame } from '../../shared/update.ts'
import { eventually } from '../support/eventually.ts'
import { assertContiguous, field, fixture, follow, runToEnd, shell } from '../support/jobs.ts'
import type { Runtime } from '../support/planes.ts'
import { openRawStream, type RawStream } from '../support/raw-stream.ts'
import { startStack, type Stack } from '../support/stack.ts'

const workflow = inject('workflowImage')
const image = inject('busyboxImage')

/** Returns the stack that the suite runs on. */
export function controlPlaneContract(runtime: Runtime): () => Stack {
  let stack: Stack
  beforeAll(async () => {
    stack = await startStack({ agents: 1, runtime })
  })
  afterAll(() => stack.close())
  const current = (): Stack => stack

  describe('workflows', () => workflowCases(current))
  describe('ends', () => endCases(current))
  describe('streams', () => streamCases(current))
  describe('requests', () => requestCases(current))
  describe('seams', () => seamCases(current))
  return current
}

function workflowCases(stack: () => Stack): void {
  it('F1 completes with its result', async () => {
    const { job, updates, terminal } = await runToEnd(stack().client, fixture('F1', workflow))
    assertContiguous(updates)
    expect(terminal).toMatchObject({ status: 'completed', result: { result: ['Hello, World'] }, exit: { code: 0 } })
    expect(job).toMatchObject({ status: 'completed', result: { result: ['Hello, World'] } })
  })

  it('F2 streams its output piece by piece', async () => {
    const { updates } = await runToEnd(stack().client, fixture('F2', workflow))
    const values = updates.filter((update) => update.type === 'output_update').map((update) => update['value'])
    expect(values).toEqual(['W_1', 'W_2'])
  })

  it('F3 and F4 end in exit_nonzero with the text of the failure', async () => {
    for (const name of ['F3', 'F4']) {
      const { terminal } = await runToEnd(stack().client, fixture(name, workflow))
      expect(terminal).toMatchObject({ status: 'error', error: { code: 'exit_nonzero' } })
      expect(terminal.error?.message).toBeTruthy()
    }
  })

  it('F5 is cancelled while it runs', async () => {
    const { client } = stack()
    const { id } = await client.submit(fixture('F5', workflow))
    for await (const frame of client.updates(id, { states: true })) {
      if (frame.type === 'job_update' && 'container_status' in frame) await client.cancel(id)
    }
    expect(await client.show(id)).toMatchObject({ status: 'cancelled', exit: { reason: 'cancelled' } })
  })
}

function endCases(stack: () => Stack): void {
  it('a job that nobody has yet is cancelled at once', async () => {
    const { client } = stack()
    const { id } = await client.submit(shell(image, 'true', { pool: 'nobody-joined' }))
    expect(await client.cancel(id)).toMatchObject({ status: 'cancelled', attempt: 0 })
    expect((await follow(client, id)).terminal).toMatchObject({ status: 'cancelled', attempt: 0 })
  })

  it('a job that runs too long ends in timeout', async () => {
    const body = shell(image, 'echo up; sleep 60', { timeout_seconds: 1, stop_grace_seconds: 1 })
    expect((await runToEnd(stack().client, body)).terminal).toMatchObject({
      status: 'error',
      error: { code: 'timeout' },
      exit: { reason: 'timeout' },
    })
  })
}

function streamCases(stack: () => Stack): void {
  const open = (id: string, after: number | string, limit?: number): RawStream => {
    const { url, token } = stack()
    const address = `${url.replace('http', 'ws')}/v1/jobs/${id}/stream?after=${after}`
    return openRawStream({ url: address, token, ...(limit === undefined ? {} : { limit }) })
  }
  const story = (frames: readonly Frame[]): Frame[] => frames.filter((frame) => !isStateFrame(frame))

  it('20,000 lines arrive in order', async () => {
    const { updates, gaps } = await runToEnd(stack().client, shell(image, 'seq 1 20000'))
    assertContiguous(updates)
    expect(gaps).toEqual([])
    const printed = updates.filter((update) => update['stream'] === 'stdout').map((update) => update['content'])
    expect(printed).toEqual(Array.from({ length: 20_000 }, (_, index) => String(index + 1)))
  })

  it('a client that reconnects 30 times at random cursors gets every update once', async () => {
    const { id } = await stack().client.submit(shell(image, 'seq 1 2000; sleep 1; seq 1 2000'))
    const seen: Frame[] = []
    const take = (frames: readonly Frame[]): void => {
      for (const frame of story(frames)) {
        expect(Number(field(frame, 'seq'))).toBeGreaterThan(cursor)
        cursor = Number(field(frame, 'seq'))
        seen.push(frame)
      }
    }
    let cursor = 0
    for (let round = 0; round < 30; round++) {
      const stream = open(id, cursor, 1 + Math.floor(Math.random() * 150))
      await stream.ended()
      take(stream.frames)
    }
    const rest = open(id, cursor)
    expect(await rest.ended()).toBe(1000)
    take(rest.frames)
    const whole = await follow(stack().client, id)
    expect(seen).toEqual([...whole.updates, whole.terminal])
  })

  it('close codes say what was wrong: 1008, 4404, 4400; past the end 1000', async () => {
    const { job, terminal } = await runToEnd(stack().client, shell(image, 'true'))
    const address = `${stack().url.replace('http', 'ws')}/v1/jobs/${job.id}/stream`
    expect(await openRawStream({ url: address, token: 'dray_wrong' }).ended()).toBe(1008)
    expect(await open('no-such-job', 0).ended()).toBe(4404)
    for (const bad of ['-1', 'x', 9 * 2 ** 32]) expect(await open(job.id, bad).ended()).toBe(4400)
    const past = open(job.id, terminal.seq)
    expect([await past.ended(), past.frames]).toEqual([1000, []])
  })

  it('history, NDJSON and SSE tell the same story', async () => {
    const { url, token, client } = stack()
    const { job, updates, terminal } = await runToEnd(client, shell(image, 'seq 1 1500'))
    const whole = [...updates, terminal]
    const first = await client.history(job.id, { limit: 1000 })
    const second = await client.history(job.id, { after: first.cursor })
    expect([...first.updates, ...second.updates]).toEqual(whole)
    expect(second.done).toBe(true)
    const get = async (accept: string): Promise<string[]> => {
      const headers = { authorization: `Bearer ${token}`, accept }
      return (await (await fetch(`${url}/v1/jobs/${job.id}/updates`, { headers })).text()).split('\n')
    }
    const ndjson = (await get('application/x-ndjson')).filter((line) => line !== '')
    expect(ndjson.map((line) => JSON.parse(line) as unknown)).toEqual(whole)
    const sse = (await get('text/event-stream')).filter((line) => line.startsWith('data: '))
    expect(sse.map((line) => JSON.parse(line.slice(6)) as unknown)).toEqual(whole)
  })

  it('a client that stops reading slows nobody, is cut off, and goes on from its cursor', async () => {
    const { client } = stack()
    const script = `echo begin; i=0; while [ $i -lt 40 ]; do yes ${'m'.repeat(1000)} | head -n 1024; i=$((i+1)); done`
    const { id } = await client.submit(shell(image, script))
    const slow = open(id, 0)
    for await (const frame of client.updates(id)) if (field(frame, 'content') === 'begin') break
    slow.pause()
    const whole = await follow(client, id)
    expect(whole.gaps).toEqual([])
    expect(whole.updates.filter((update) => update['stream'] === 'stdout')).toHaveLength(1 + 40 * 1024)
    slow.resume()
    // 1006: it did not even answer the close frame in time.
    expect([4408, 1006]).toContain(await slow.ended())
    const got = story(slow.frames)
    const rest = await follow(client, id, Number(field(got.at(-1)!, 'seq')))
    expect(got.length + rest.updates.length).toBe(whole.updates.length)
  })
}

function requestCases(stack: () => Stack): void {
  it('50 submits with one Idempotency-Key make one job', async () => {
    const { client } = stack()
    const storm = Array.from({ length: 50 }, () => client.submit(shell(image, 'true'), { idempotencyKey: 'storm' }))
    expect(new Set((await Promise.all(storm)).map(({ id }) => id)).size).toBe(1)
    const other = client.submit(shell(image, 'false'), { idempotencyKey: 'storm' })
    await expect(other).rejects.toMatchObject({ status: 409, code: 'idempotency_mismatch' })
  })

  const bad: readonly [string, number, string, Record<string, string>?][] = [
    ['half a document', 400, '{'],
    ['a duplicate key', 400, '{"image":"a","image":"b"}'],
    ['a lone surrogate', 400, '{"image":"\\ud800"}'],
    ['an unknown key', 400, '{"image":"a","colour":"red"}'],
    ['too many levels', 400, `{"image":"a","labels":${'['.repeat(200)}${']'.repeat(200)}}`],
    ['another type', 415, '{"image":"a"}', { 'content-type': 'text/plain' }],
    ['an encoding', 415, '{"image":"a"}', { 'content-encoding': 'gzip' }],
    ['more than 16 MiB', 413, `{"image":"${'a'.repeat(16 * 2 ** 20)}"}`],
  ]
  it.each(bad)('a body with %s is a problem document', async (_what, status, body, headers = {}) => {
    const { url, token } = stack()
    const answer = await fetch(`${url}/v1/jobs`, {
      method: 'POST',
      headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json', ...headers },
      body,
    })
    expect(answer.status).toBe(status)
    expect(answer.headers.get('content-type')).toContain('application/problem+json')
    expect(await answer.json()).toMatchObject({ status, code: expect.any(String), detail: expect.any(String) })
  })

  it('without a key, with a wrong one, at no path and with a wrong method says so', async () => {
    const { url, token } = stack()
    const call = async (path: string, key: string, method = 'GET'): Promise<number> =>
      (await fetch(`${url}${path}`, { method, headers: { authorization: `Bearer ${key}` } })).status
    expect(await call('/v1/jobs', 'dray_wrong')).toBe(401)
    expect(await call('/v1/jobs/x/updates', 'dray_wrong')).toBe(401)
    expect(await call('/v1/nowhere', token)).toBe(404)
    expect(await call('/v1/jobs/no-such-job/updates', token)).toBe(404)
    expect(await call('/v1/jobs', token, 'DELETE')).toBe(405)
  })
}

function seamCases(stack: () => Stack): void {
  const counting: SubmitBody = shell(image, 'for i in $(seq 1 60); do echo $i; sleep 0.1; done')
  const printed = async (id: string, text: string): Promise<void> => {
    for await (const frame of stack().client.updates(id)) if (field(frame, 'content') === text) return
  }
  const whole = Array.from({ length: 60 }, (_, index) => String(index + 1))

  it('NATS is restarted in mid-stream: every line is there, once', async () => {
    const { client, nats } = stack()
    const { id } = await client.submit(counting)
    const watching = follow(client, id)
    await printed(id, '5')
    await nats.kill()
    await nats.start()
    const { updates, terminal, gaps } = await watching
    expect([terminal.status, gaps]).toEqual(['completed', []])
    assertContiguous(updates)
    expect(updates.filter((one) => one['stream'] === 'stdout').map((one) => one['content'])).toEqual(whole)
  })

  it('the control plane is restarted in mid-job: the job goes on, its updates and its end arrive', async () => {
    const { client, controlPlane } = stack()
    const { id } = await client.submit(counting)
    const watching = follow(client, id)
    await printed(id, '5')
    await controlPlane.stop('SIGKILL')
    await stack().startControlPlane()
    const { updates, terminal, job } = await watching
    expect([terminal.status, job.attempts.length]).toEqual(['completed', 1])
    assertContiguous(updates)
    expect(updates.filter((one) => one['stream'] === 'stdout').map((one) => one['content'])).toEqual(whole)
  })

  it('submit answers 201 while NATS is away, and the job runs without a run command', async () => {
    const { client, nats } = stack()
    await nats.kill()
    const { id, phase } = await client.submit(shell(image, 'echo ran'))
    expect(phase).toBe('queued')
    await eventually(async () => (await client.show(id)).status === 'completed', {
      deadlineMs: 20_000,
      what: 'the job ends without NATS',
    })
    await nats.start()
    const { updates } = await follow(client, id)
    expect(updates.some((update) => update['content'] === 'ran')).toBe(true)
  })
}
