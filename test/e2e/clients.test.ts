// Clients: reconnects at any cursor, raw frames, idempotency, history in its three forms.
import { afterAll, beforeAll, describe, expect, inject, it } from 'vitest'
import { WebSocket } from 'ws'
import { LAST_N } from '../../shared/position.ts'
import { isStateFrame, type Frame } from '../../shared/update.ts'
import { assertContiguous, follow, runToEnd, shell, field } from '../support/jobs.ts'
import { startStack, type Stack } from '../support/stack.ts'

let stack: Stack
beforeAll(async () => {
  stack = await startStack({ agents: 1 })
})
afterAll(() => stack.close())

const image = inject('busyboxImage')
const streamUrl = (id: string, after: string | number): string =>
  `${stack.url.replace('http', 'ws')}/v1/jobs/${id}/stream?after=${after}`

interface RawStream {
  readonly frames: Frame[]
  readonly messages: string[]
  readonly code: number
  readonly protocol: string
}

/** A client that knows nothing of ours: opens, collects what comes, says how it ended. Leaves after `limit` frames. */
function raw(
  url: string,
  options: { limit?: number; protocols?: string[]; token?: string | null } = {},
): Promise<RawStream> {
  const token = options.token === undefined ? stack.token : options.token
  const headers = token === null || options.protocols ? {} : { authorization: `Bearer ${token}` }
  const socket = new WebSocket(url, options.protocols ?? [], { headers })
  const frames: Frame[] = []
  const messages: string[] = []
  socket.on('message', (data) => {
    const text = (data as Buffer).toString()
    messages.push(text)
    const message = JSON.parse(text) as Frame | Frame[]
    frames.push(...(Array.isArray(message) ? message : [message]))
    if (options.limit !== undefined && frames.length >= options.limit) socket.terminate()
  })
  return new Promise((resolve, reject) => {
    socket.once('error', reject)
    socket.once('close', (code) => resolve({ frames, messages, code, protocol: socket.protocol }))
  })
}

describe('a client', () => {
  it('that reconnects 50 times at random cursors gets every update once', async () => {
    const { id } = await stack.client.submit(
      shell(image, 'for i in $(seq 1 3000); do echo line $i; done; sleep 1; seq 1 3000'),
    )
    const seen: Frame[] = []
    let cursor = 0
    for (let round = 0; round < 50; round++) {
      const { frames } = await raw(streamUrl(id, cursor), { limit: 1 + Math.floor(Math.random() * 150) })
      for (const frame of frames) {
        if (isStateFrame(frame)) continue
        const seq = Number(field(frame, 'seq'))
        expect(seq).toBeGreaterThan(cursor)
        cursor = seq
        seen.push(frame)
      }
    }
    const rest = await raw(streamUrl(id, cursor))
    seen.push(...rest.frames.filter((frame) => !isStateFrame(frame)))
    expect(rest.code).toBe(1000)
    const whole = await follow(stack.client, id)
    expect(seen).toEqual([...whole.updates, whole.terminal])
    assertContiguous(whole.updates)
  }, 60_000)

  it('without a library sees the frames of PROTOCOL 4: state first, updates, terminal, close 1000', async () => {
    const { id } = await stack.client.submit(shell(image, 'echo hi'))
    const { frames, code } = await raw(streamUrl(id, 0))
    expect(code).toBe(1000)
    expect(isStateFrame(frames[0]!)).toBe(true)
    const updates = frames.filter((frame) => !isStateFrame(frame))
    for (const update of updates) {
      expect(update).toMatchObject({ job_id: id, attempt: 1 })
      expect(Date.parse(String(field(update, 'at')))).toBeGreaterThan(0)
      expect(Number.isSafeInteger(field(update, 'seq'))).toBe(true)
    }
    expect(updates.at(-1)).toMatchObject({
      type: 'job_update',
      status: 'completed',
      seq: 2 ** 32 + LAST_N,
      exit: { code: 0 },
    })
    const phases = updates.filter((frame) => frame.type === 'job_update').map((frame) => field(frame, 'phase'))
    expect(phases).toEqual(expect.arrayContaining(['creating', 'running']))
  })

  it('is told by close codes: 1008 without a key, 4404 for no such job, 4400 for a bad cursor, 1000 past the end', async () => {
    const { job, terminal } = await runToEnd(stack.client, shell(image, 'true'))
    expect((await raw(streamUrl(job.id, 0), { token: null })).code).toBe(1008)
    expect((await raw(streamUrl(job.id, 0), { token: 'dray_wrong' })).code).toBe(1008)
    expect((await raw(streamUrl('no-such-job', 0))).code).toBe(4404)
    for (const bad of ['-1', 'x', '1.5', '9007199254740993', 9 * 2 ** 32])
      expect((await raw(streamUrl(job.id, bad))).code).toBe(4400)
    const past = await raw(streamUrl(job.id, terminal.seq))
    expect(past).toMatchObject({ code: 1000, frames: [] })
  })

  it('may bring its key as a subprotocol, and gets dray.v1 echoed', async () => {
    const { job } = await runToEnd(stack.client, shell(image, 'true'))
    const { code, protocol } = await raw(streamUrl(job.id, 0), { protocols: ['dray.v1', `bearer.${stack.token}`] })
    expect({ code, protocol }).toEqual({ code: 1000, protocol: 'dray.v1' })
  })

  it('sees no state frame of an ended job', async () => {
    const { job } = await runToEnd(stack.client, shell(image, 'true'))
    expect((await raw(streamUrl(job.id, 0))).frames.filter(isStateFrame)).toEqual([])
  })

  it('gets one job for the same Idempotency-Key 50 times at once', async () => {
    const body = shell(image, 'true')
    const jobs = await Promise.all(
      Array.from({ length: 50 }, () => stack.client.submit(body, { idempotencyKey: 'storm' })),
    )
    expect(new Set(jobs.map(({ id }) => id)).size).toBe(1)
    await expect(stack.client.submit(shell(image, 'false'), { idempotencyKey: 'storm' })).rejects.toMatchObject({
      status: 409,
      code: 'idempotency_mismatch',
    })
  })

  it('reads the same story as JSON pages, NDJSON and SSE', async () => {
    const { job, updates, terminal } = await runToEnd(stack.client, shell(image, 'seq 1 2500'))
    const story = [...updates, terminal]
    const paged: unknown[] = []
    for (let after = 0, done = false; !done;) {
      const page = await stack.client.history(job.id, { after, limit: 1000 })
      paged.push(...page.updates)
      after = page.cursor
      done = page.done
    }
    expect(paged).toEqual(story)
    const get = (accept: string, headers: Record<string, string> = {}): Promise<string> =>
      fetch(`${stack.url}/v1/jobs/${job.id}/updates`, {
        headers: { authorization: `Bearer ${stack.token}`, accept, ...headers },
      }).then((answer) => answer.text())
    const ndjson = (await get('application/x-ndjson')).split('\n').filter((line) => line !== '')
    expect(ndjson.map((line) => JSON.parse(line) as unknown)).toEqual(story)
    const events = (text: string): { id: number; data: unknown }[] =>
      text
        .split('\n\n')
        .filter((event) => event.includes('data:'))
        .map((event) => ({
          id: Number(/^id: ?(\d+)$/m.exec(event)?.[1]),
          data: JSON.parse(/^data: ?(.*)$/m.exec(event)?.[1] ?? 'null') as unknown,
        }))
    const sse = events(await get('text/event-stream'))
    expect(sse.map(({ data }) => data)).toEqual(story)
    expect(sse.map(({ id }) => id)).toEqual(story.map(({ seq }) => seq))
    const resumed = events(await get('text/event-stream', { 'last-event-id': String(story[1234]!.seq) }))
    expect(resumed.map(({ data }) => data)).toEqual(story.slice(1235))
  }, 60_000)

  it('retries an ended job as a new one', async () => {
    const { job } = await runToEnd(stack.client, shell(image, 'exit 3'))
    const again = await stack.client.retry(job.id)
    expect(again).toMatchObject({ retry_of: job.id })
    expect(again.id).not.toBe(job.id)
    expect((await follow(stack.client, again.id)).terminal.exit.code).toBe(3)
  })
})
