// PROTOCOL 4: the WebSocket, from a real NATS: replay, live, close codes, authentication, clients that do not read.

import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { WebSocket } from 'ws'
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
interface Watched {
  readonly socket: WebSocket
  readonly messages: string[]
  readonly closed: Promise<{ code: number; reason: string }>
}

function watch(path: string, options: { protocols?: string[]; key?: string | null } = {}): Watched {
  const { protocols = [], key = plane.adminKey } = options
  const headers = key === null ? {} : { authorization: `Bearer ${key}` }
  const socket = new WebSocket(`${plane.url.replace('http', 'ws')}${path}`, protocols, { headers })
  const messages: string[] = []
  socket.on('message', (data) => messages.push((data as Buffer).toString()))
  const closed = new Promise<{ code: number; reason: string }>((resolve, reject) => {
    socket.on('close', (code, reason) => resolve({ code, reason: reason.toString() }))
    socket.on('error', reject)
  })
  return { socket, messages, closed }
}

const framesOf = ({ messages }: Watched): Frame[] =>
  messages.flatMap((text): Frame[] => [JSON.parse(text) as Frame | Frame[]].flat())

describe('GET /v1/jobs/{id}/stream', () => {
  it('replays, goes on live, sends states without seq and the terminal update, then closes 1000', async () => {
    const attempt = await plane.start()
    await plane.say(attempt.id, 1, 3)
    const client = watch(`/v1/jobs/${attempt.id}/stream`)
    await eventually(() => framesOf(client).some(({ seq }) => seq === seqOf(1, 3)), { what: 'the replay has come' })
    await plane.say(attempt.id, 4, 6)
    await attempt.finish(6)
    expect((await client.closed).code).toBe(1000)
    const frames = framesOf(client)
    expect(frames.flatMap(({ seq }) => (seq === undefined ? [] : [seq]))).toEqual([...seqs(6), terminalSeq(1)])
    const states = frames.filter(({ seq }) => seq === undefined)
    expect(states.length).toBeGreaterThan(0)
    for (const state of states)
      expect(state).toMatchObject({ type: 'job_update', status: expect.stringMatching(/starting|running/) })
  })

  it('resumes after a cursor, and closes 1000 at or past the terminal', async () => {
    const id = await plane.finished(4)
    const client = watch(`/v1/jobs/${id}/stream?after=${seqOf(1, 2)}`)
    await client.closed
    expect(framesOf(client).map(({ seq }) => seq)).toEqual([seqOf(1, 3), seqOf(1, 4), terminalSeq(1)])
    const end = watch(`/v1/jobs/${id}/stream?after=${terminalSeq(1)}`)
    expect((await end.closed).code).toBe(1000)
    expect(end.messages).toEqual([])
  })

  it('takes the key from the subprotocols, echoes dray.v1 and never the key', async () => {
    const id = await plane.finished(1)
    const client = watch(`/v1/jobs/${id}/stream`, { key: null, protocols: [`bearer.${plane.adminKey}`, 'dray.v1'] })
    expect((await client.closed).code).toBe(1000)
    expect(client.socket.protocol).toBe('dray.v1')
    expect(framesOf(client)).toHaveLength(2)
  })

  it('accepts every upgrade: errors are close codes', async () => {
    const id = await plane.finished(1)
    const foreign = await plane.tenantKey('foreign')
    const expectCode = async (code: number, path: string, options?: Parameters<typeof watch>[1]): Promise<void> =>
      expect([path, (await watch(path, options).closed).code]).toEqual([path, code])
    await expectCode(1008, `/v1/jobs/${id}/stream`, { key: null })
    await expectCode(1008, `/v1/jobs/${id}/stream`, { key: 'dray_wrong' })
    await expectCode(1008, `/v1/jobs/${id}/stream?token=${plane.adminKey}`, { key: null })
    await expectCode(1008, `/v1/jobs/${id}/stream`, { key: null, protocols: ['dray.v1', 'bearer.dray_wrong'] })
    await expectCode(4404, '/v1/jobs/job_never/stream')
    await expectCode(4404, '/v1/jobs/a.b/stream')
    await expectCode(4404, `/v1/jobs/${id}/stream`, { key: foreign })
    for (const after of ['x', '-1', '1.5', '', '9007199254740993', String(seqOf(2, 1)), '0&after=1'])
      await expectCode(4400, `/v1/jobs/${id}/stream?after=${after}`)
  })

  it('without an upgrade is 400', async () => {
    const answer = await plane.call('GET', `/v1/jobs/${await plane.finished(1)}/stream`)
    expect([answer.status, answer.body['code']]).toEqual([400, 'bad_request'])
  })

  it('ignores what clients send, and does not keep much of it', async () => {
    const attempt = await plane.start()
    const client = watch(`/v1/jobs/${attempt.id}/stream`)
    await eventually(() => client.messages.length > 0)
    client.socket.send('{"type":"cancel"}')
    client.socket.send(new Uint8Array(1_000))
    await attempt.finish(0)
    expect((await client.closed).code).toBe(1000)
    const flood = watch(`/v1/jobs/${(await plane.start()).id}/stream`)
    await eventually(() => flood.messages.length > 0)
    flood.socket.send('x'.repeat(100_000))
    expect((await flood.closed).code).toBe(1009)
  })

  it('closes a client that does not read with 4408 or cuts it off', async () => {
    const attempt = await plane.start()
    const slow = watch(`/v1/jobs/${attempt.id}/stream`)
    await eventually(() => slow.messages.length > 0)
    slow.socket.pause()
    const fast = watch(`/v1/jobs/${attempt.id}/stream`)
    await plane.say(attempt.id, 1, 120, 200_000)
    await attempt.finish(120)
    expect((await fast.closed).code).toBe(1000)
    await eventually(async () => (await plane.relayClients()) === 0, {
      deadlineMs: 15_000,
      what: 'the relay serves nobody',
    })
    slow.socket.resume()
    expect([4408, 1006]).toContain((await slow.closed).code)
  })
})
