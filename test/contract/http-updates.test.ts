// PROTOCOL 3: what a job said, as JSON, NDJSON and server-sent events, from a real NATS.

import { createConnection, type Socket } from 'node:net'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { seqOf, terminalSeq } from '../../shared/position.ts'
import { eventually } from '../support/eventually.ts'
import { startTalkingPlane, type TalkingPlane } from '../support/talking-plane.ts'

let plane: TalkingPlane
beforeAll(async () => {
  plane = await startTalkingPlane()
})
afterAll(() => plane.close())

type Frame = Record<string, unknown>

const seqs = (count: number): number[] => Array.from({ length: count }, (_, index) => seqOf(1, index + 1))
const authorization = (): string => `Bearer ${plane.adminKey}`

async function openStream(path: string, headers: Record<string, string>, signal?: AbortSignal): Promise<Response> {
  return fetch(`${plane.url}${path}`, {
    headers: { authorization: authorization(), ...headers },
    ...(signal && { signal }),
  })
}

function events(text: string): { id: string; data: Frame }[] {
  return [...text.matchAll(/^id: (\d+)\ndata: (.+)\n\n/gm)].map(([, id = '', data = '']) => ({
    id,
    data: JSON.parse(data) as Frame,
  }))
}

describe('GET /v1/jobs/{id}/updates', () => {
  it('gives history in pages: updates, cursor and done, no state frames', async () => {
    const id = await plane.finished(5)
    const first = await plane.call('GET', `/v1/jobs/${id}/updates?limit=3`)
    expect(first.body).toMatchObject({ cursor: seqOf(1, 3), done: false })
    expect((first.body['updates'] as Frame[]).map(({ seq }) => seq)).toEqual(seqs(3))
    const rest = await plane.call('GET', `/v1/jobs/${id}/updates?after=${seqOf(1, 3)}`)
    expect((rest.body['updates'] as Frame[]).map(({ seq }) => seq)).toEqual([seqOf(1, 4), seqOf(1, 5), terminalSeq(1)])
    expect(rest.body).toMatchObject({ cursor: terminalSeq(1), done: true })
    const end = await plane.call('GET', `/v1/jobs/${id}/updates?after=${terminalSeq(1)}`)
    expect(end.body).toEqual({ updates: [], cursor: terminalSeq(1), done: true })
  })

  it('refuses a bad cursor and a bad limit with 400', async () => {
    const id = await plane.finished(1)
    for (const query of [
      'after=x',
      'after=-1',
      'after=1.0',
      'after=1e3',
      'after=9007199254740993',
      `after=${seqOf(2, 1)}`,
      'limit=0',
      'limit=10001',
      'from=1',
    ])
      for (const accept of ['application/json', 'application/x-ndjson', 'text/event-stream']) {
        const answer = await plane.call('GET', `/v1/jobs/${id}/updates?${query}`, { headers: { accept } })
        expect([query, accept, answer.status]).toEqual([query, accept, 400])
      }
  })

  it('streams NDJSON until the end: what is stored, then what comes', async () => {
    const attempt = await plane.start()
    await plane.say(attempt.id, 1, 2)
    const answer = await openStream(`/v1/jobs/${attempt.id}/updates`, { accept: 'application/x-ndjson' })
    expect(answer.headers.get('content-type')).toBe('application/x-ndjson')
    const text = answer.text()
    await plane.say(attempt.id, 3, 4)
    await attempt.finish(4)
    const lines = (await text)
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line) as Frame)
    expect(lines.map(({ seq }) => seq)).toEqual([...seqs(4), terminalSeq(1)])
    expect(lines.at(-1)).toMatchObject({ type: 'job_update', status: 'completed' })
  })

  it('ends a stream after `limit` frames where it is given', async () => {
    const id = await plane.finished(5)
    const answer = await openStream(`/v1/jobs/${id}/updates?limit=2`, { accept: 'application/x-ndjson' })
    expect((await answer.text()).trim().split('\n')).toHaveLength(2)
  })

  it('speaks server-sent events: id is the seq, Last-Event-ID outranks after, 204 at the end', async () => {
    const id = await plane.finished(4)
    const accept = 'text/event-stream'
    const all = await openStream(`/v1/jobs/${id}/updates`, { accept })
    expect(all.headers.get('content-type')).toBe(accept)
    const seen = events(await all.text())
    expect(seen.map((event) => Number(event.id))).toEqual([...seqs(4), terminalSeq(1)])
    expect(seen.every(({ id: eventId, data }) => Number(eventId) === data['seq'])).toBe(true)
    const rest = await openStream(`/v1/jobs/${id}/updates?after=0`, { accept, 'last-event-id': String(seqOf(1, 3)) })
    expect(events(await rest.text()).map((event) => Number(event.id))).toEqual([seqOf(1, 4), terminalSeq(1)])
    const end = await openStream(`/v1/jobs/${id}/updates`, { accept, 'last-event-id': String(terminalSeq(1)) })
    expect(end.status).toBe(204)
  })

  it('lets go of a client that hangs up', async () => {
    const { id } = await plane.start()
    const clients = (): Promise<number> => plane.relayClients()
    await eventually(async () => (await clients()) === 0, { what: 'earlier clients are gone' })
    const ending = new AbortController()
    await openStream(`/v1/jobs/${id}/updates`, { accept: 'text/event-stream' }, ending.signal)
    await eventually(async () => (await clients()) === 1, { what: 'the client is counted' })
    ending.abort()
    await eventually(async () => (await clients()) === 0, { what: 'the client is gone' })
    await fetch(`${plane.url}/v1/jobs/${id}/updates`, {
      method: 'HEAD',
      headers: { authorization: authorization(), accept: 'text/event-stream' },
    })
    expect(await clients()).toBe(0)
  })

  it('drops a client that does not read, and goes on serving others', async () => {
    const attempt = await plane.start()
    const idle = await silentClient(attempt.id)
    const reader = openStream(`/v1/jobs/${attempt.id}/updates`, { accept: 'application/x-ndjson' }).then((answer) =>
      answer.text(),
    )
    await plane.say(attempt.id, 1, 120, 200_000)
    await attempt.finish(120)
    expect((await reader).trim().split('\n')).toHaveLength(121)
    await eventually(() => plane.logLines.some((line) => line.includes('a stream was cut off')), { deadlineMs: 15_000 })
    idle.destroy()
  })
})

/** Asks for a stream and never reads the answer. */
function silentClient(id: string): Promise<Socket> {
  const { hostname, port } = new URL(plane.url)
  return new Promise((resolve) => {
    const socket = createConnection(Number(port), hostname, () => {
      socket.pause()
      socket.write(
        `GET /v1/jobs/${id}/updates HTTP/1.1\r\nHost: a\r\nAuthorization: ${authorization()}\r\nAccept: application/x-ndjson\r\n\r\n`,
        () => resolve(socket),
      )
    })
    socket.on('error', () => undefined)
  })
}
