import { describe, expect, test } from 'vitest'
import type { HeartbeatAnswer, HeartbeatBody } from '../../shared/agent-protocol.ts'
import { createHeartbeat } from '../../runner-agent/beat.ts'
import { ControlPlaneAway, type Answer, type ControlPlane } from '../../runner-agent/control-plane-client.ts'
import { eventually } from '../support/eventually.ts'

const silent = { info: () => undefined, warn: () => undefined, error: () => undefined }
const ANSWER: HeartbeatAnswer = {
  lease_seconds: 6,
  next_beat_seconds: 3600,
  cordoned: false,
  draining: false,
  attempts: [],
}

function createRig(reply: (body: HeartbeatBody) => Answer<HeartbeatAnswer> | Error) {
  const beats: HeartbeatBody[] = []
  const unknown: number[] = []
  const stop = new AbortController()
  const controlPlane = {
    heartbeat: (body: HeartbeatBody) => {
      beats.push(body)
      const answer = reply(body)
      return answer instanceof Error ? Promise.reject(answer) : Promise.resolve(answer)
    },
  } as unknown as ControlPlane
  const heartbeat = createHeartbeat({
    controlPlane,
    bootId: 'boot',
    held: () => [],
    news: () => ({}),
    onAnswer: () => undefined,
    onUnknown: () => {
      unknown.push(1)
      return Promise.resolve()
    },
    log: silent,
  })
  return { beats, unknown, heartbeat, stop, done: heartbeat.run(stop.signal) }
}

describe('createHeartbeat()', () => {
  test('counts up, and makes one beat of many news', async () => {
    const { beats, heartbeat, stop, done } = createRig(() => ({ kind: 'ok', value: ANSWER }))
    await eventually(() => beats.length === 1)
    for (let index = 0; index < 50; index++) heartbeat.poke()
    await eventually(() => beats.length === 2)
    heartbeat.poke()
    await eventually(() => beats.length === 3)
    stop.abort()
    expect(await done).toBe('stopped')
    expect(beats.map(({ beat }) => beat)).toEqual([1, 2, 3])
    expect(heartbeat.beat).toBe(3)
  })

  test('goes on when the control plane is away, and asks to join again where it is unknown', async () => {
    const replies: (Answer<HeartbeatAnswer> | Error)[] = [
      new ControlPlaneAway('away'),
      { kind: 'refused', status: 401, code: 'unauthenticated', detail: '' },
      { kind: 'ok', value: { ...ANSWER, next_beat_seconds: 0 } },
    ]
    const { beats, unknown, stop, done, heartbeat } = createRig(() => replies.shift() ?? { kind: 'ok', value: ANSWER })
    await eventually(() => beats.length === 2)
    heartbeat.poke()
    await eventually(() => beats.length >= 4)
    stop.abort()
    expect(await done).toBe('stopped')
    expect(unknown).toEqual([1])
  })

  test('ends when a newer process took over', async () => {
    const { done } = createRig(() => ({ kind: 'superseded' }))
    expect(await done).toBe('superseded')
  })
})
