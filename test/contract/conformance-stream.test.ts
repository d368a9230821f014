// How frames travel: arrays, cursors ahead of what is stored, exact fields, what a reader drops, adoption, and signs of life
// in fifteen seconds of silence.
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { WebSocket } from 'ws'
import { createRelay } from '../../control-plane/core/relay-hub.ts'
import { seqOf, terminalSeq } from '../../shared/position.ts'
import { startAttempt } from '../support/agent-life.ts'
import { eventually } from '../support/eventually.ts'
import { keyOf, openRelayStage, seqs, type RelayStage } from '../support/relay-stage.ts'
import { attach } from '../support/relay-watcher.ts'
import { startTalkingPlane, type TalkingPlane } from '../support/talking-plane.ts'

type Frame = Record<string, unknown>

interface Silence {
  readonly accept: string
  readonly said: Promise<string>
}

let plane: TalkingPlane
let stage: RelayStage
let silences: readonly Silence[]
beforeAll(async () => {
  plane = await startTalkingPlane()
  stage = await openRelayStage()
  // Begun here, so that the fifteen seconds pass while the other tests run. An early end is for the last test to find.
  const { id } = await plane.start()
  silences = ['text/event-stream', 'application/x-ndjson'].map((accept) => ({
    accept,
    said: firstWords(id, accept).catch(String),
  }))
})
afterAll(async () => {
  await stage.close()
  await plane.close()
})

/** The first thing that a stream without updates says. */
async function firstWords(id: string, accept: string): Promise<string> {
  const begun = performance.now()
  const ending = new AbortController()
  const answer = await fetch(`${plane.url}/v1/jobs/${id}/updates`, {
    headers: { authorization: `Bearer ${plane.adminKey}`, accept },
    signal: ending.signal,
  })
  const { value } = await answer.body!.getReader().read()
  ending.abort()
  return `${new TextDecoder().decode(value)} after ${Math.round((performance.now() - begun) / 1000)} s`
}

interface Watched {
  readonly messages: string[]
  readonly frames: () => Frame[]
  readonly closed: Promise<number>
  readonly isClosed: () => boolean
}

function watch(id: string, after = 0): Watched {
  const socket = new WebSocket(`${plane.url.replace('http', 'ws')}/v1/jobs/${id}/stream?after=${after}`, {
    headers: { authorization: `Bearer ${plane.adminKey}` },
  })
  const messages: string[] = []
  socket.on('message', (data) => messages.push((data as Buffer).toString()))
  const closed = new Promise<number>((resolve, reject) => {
    socket.on('close', resolve)
    socket.on('error', reject)
  })
  const frames = (): Frame[] => messages.flatMap((text) => [JSON.parse(text) as Frame | Frame[]].flat())
  return { messages, frames, closed, isClosed: () => socket.readyState === WebSocket.CLOSED }
}
describe('the WebSocket', () => {
  it('sends one frame as an object, and several that are due at once as one array', async () => {
    const watched = watch(await plane.finished(30))
    expect(await watched.closed).toBe(1000)
    const messages = watched.messages.map((text) => JSON.parse(text) as unknown)
    expect(watched.frames()).toHaveLength(31)
    expect(messages.length).toBeLessThan(31)
    for (const message of messages) expect(Array.isArray(message) ? message.length : 2).toBeGreaterThan(1)
  })

  it('waits where the cursor is past what is stored of the current attempt, and goes on behind it', async () => {
    const attempt = await plane.start()
    await plane.say(attempt.id, 1, 2)
    const watched = watch(attempt.id, seqOf(1, 5))
    await eventually(() => watched.messages.length > 0, { what: 'the state has come' })
    await plane.say(attempt.id, 3, 7)
    await attempt.finish(7)
    expect(await watched.closed).toBe(1000)
    expect(watched.frames().flatMap(({ seq }) => seq ?? [])).toEqual([seqOf(1, 6), seqOf(1, 7), terminalSeq(1)])
  })

  it('begins with a state frame of exactly these fields, and never gives one a seq', async () => {
    const attempt = await plane.start()
    const watched = watch(attempt.id)
    await eventually(() => watched.messages.length > 0)
    const [state] = watched.frames()
    expect(Object.keys(state ?? {}).toSorted()).toEqual([
      'agent',
      'attempt',
      'cancel_requested',
      'job_id',
      'phase',
      'status',
      'type',
    ])
    expect(state).toMatchObject({ type: 'job_update', job_id: attempt.id, attempt: 1, cancel_requested: false })
    await attempt.finish(0)
    await watched.closed
  })

  it('ends with a terminal update of exactly these fields; duration counts from the container’s start', async () => {
    const agent = await plane.joinAgent('timed')
    const { id } = await startAttempt(plane, agent)
    const [started, finished] = ['2026-11-25T10:00:00.000Z', '2026-11-25T10:00:02.500Z']
    const end = { exit: { code: 3, oom_killed: false, reason: 'exited' }, image_digest: null, updates: 0, attempt: 1 }
    const error = { code: 'exit_nonzero', message: 'why', hint: 'Read it.' }
    await agent.call(`/jobs/default/${id}/finish`, { ...end, started_at: started, finished_at: finished, error })
    const failed = watch(id)
    await failed.closed
    expect(failed.frames()).toEqual([
      {
        type: 'job_update',
        job_id: id,
        status: 'error',
        phase: 'finished',
        attempt: 1,
        exit: end.exit,
        duration: 2.5,
        error,
        at: expect.any(String),
        seq: terminalSeq(1),
      },
    ])
    const completed = watch(await plane.finished(0))
    await completed.closed
    expect(completed.frames()[0]).toMatchObject({ status: 'completed', result: { out: [1] } })
    expect(completed.frames()[0]).not.toHaveProperty('error')
  })
})

describe('the relay', () => {
  it('closes 1011 when something fails that nobody foresaw', async () => {
    const logged: unknown[] = []
    const quiet = {
      info: () => undefined,
      warn: () => undefined,
      error: (...what: unknown[]) => void logged.push(what),
    }
    const clock = { nowMs: Date.now, after: (ms: number, callback: () => void) => cancelable(ms, callback) }
    const store = { readJob: () => Promise.reject(new Error('unforeseen')) }
    const relay = createRelay({ store, bus: stage.bus, clock, log: quiet })
    const watcher = attach(relay, keyOf('any'), 0)
    await eventually(() => expect(watcher.closed).toBe(1011))
    expect(JSON.stringify(logged)).toContain('unforeseen')
    await relay.close()
  })

  it('drops an n at or below its position: what is stored twice is seen once', async () => {
    const attempt = await plane.start()
    await plane.say(attempt.id, 1, 3)
    await plane.say(attempt.id, 2, 5)
    await attempt.finish(5)
    const watched = watch(attempt.id)
    await watched.closed
    expect(watched.frames().map(({ seq }) => seq)).toEqual([...seqs(1, 5), terminalSeq(1)])
  })
})

function cancelable(ms: number, callback: () => void): () => void {
  const timer = setTimeout(callback, ms)
  return () => clearTimeout(timer)
}

describe('a claim with adopt', () => {
  it('gives a newer process the attempt, and says where its stored updates end', async () => {
    const agent = await plane.joinAgent('adopter')
    const { id } = await startAttempt(plane, agent)
    const held = { tenant: 'default', job: id, attempt: 1, phase: 'running', n: 0, stdout_lines: 0, stderr_lines: 0 }
    await agent.call('/heartbeat', { beat: 1, boot_id: 'boot', attempts: [held] }, 'session-2')
    const path = `/jobs/default/${id}/claim`
    const plain = await agent.call(path, { attempt: 1, beat: 1 }, 'session-2')
    expect(plain.status).toBe(409)
    const adopted = await agent.call(path, { attempt: 1, beat: 1, adopt: true }, 'session-2')
    expect(adopted.status, adopted.text).toBe(200)
    expect(adopted.body['resume']).toMatchObject({ n: 0, subject_seq: 0, session: null })
    const again = await agent.call(path, { attempt: 1, beat: 1, adopt: true }, 'session-2')
    expect([again.status, again.body]).toEqual([200, adopted.body])
    const old = await agent.call(path, { attempt: 1, beat: 1, adopt: true })
    expect([old.status, old.body['code']]).toEqual([409, 'superseded'])
  })

  it('of a store that lost more than the agent’s last beat told resumes 2^20 beyond that beat, at its line counts', async () => {
    const agent = await plane.joinAgent('wiped')
    const { id } = await startAttempt(plane, agent)
    const held = { tenant: 'default', job: id, attempt: 1, phase: 'running' }
    const told = { n: 50, stdout_lines: 40, stderr_lines: 7 }
    await agent.call('/heartbeat', { beat: 1_000, boot_id: 'boot', attempts: [{ ...held, ...told }] })
    const start = { ...held, n: 0, stdout_lines: 0, stderr_lines: 0 }
    await agent.call('/heartbeat', { beat: 1, boot_id: 'boot', attempts: [start] }, 'session-2')
    const adopted = await agent.call(`/jobs/default/${id}/claim`, { attempt: 1, beat: 1, adopt: true }, 'session-2')
    expect(adopted.status, adopted.text).toBe(200)
    expect(adopted.body['resume']).toMatchObject({ ...told, n: 50 + 2 ** 20, subject_seq: 0 })
  })
})

describe('fifteen seconds of silence', () => {
  it('are answered with a comment on SSE and a blank line on NDJSON', async () => {
    expect(await Promise.all(silences.map(({ said }) => said))).toEqual([
      expect.stringMatching(/^:\n\n after 1[5-9] s$/),
      expect.stringMatching(/^\n after 1[5-9] s$/),
    ])
  })
})
