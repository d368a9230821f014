// The agent's HTTP calls (PROTOCOL 3), as typed answers. A call has one of these ends: an answer; `fenced` (another
// attempt counts); `superseded` (a newer process of this agent); `refused` (any other 4xx); or ControlPlaneAway is
// thrown, after which the call may or may not have happened: every call is idempotent, so it is simply made again.
// Keys travel in a header and never reach an error's text.
import {
  SESSION_HEADER,
  type ClaimBody,
  type FinishBody,
  type Grant,
  type HeartbeatAnswer,
  type HeartbeatBody,
  type JoinAnswer,
} from '../shared/agent-protocol.ts'
import { backoffMs } from '../shared/backoff.ts'
import type { AttemptKey } from '../shared/subjects.ts'
import { pause } from './engine/pause.ts'
import { createPost, type HttpAnswer, type Post } from './http-post.ts'

export type Answer<T> =
  | { readonly kind: 'ok'; readonly value: T }
  | { readonly kind: 'fenced' }
  | { readonly kind: 'superseded' }
  | { readonly kind: 'refused'; readonly status: number; readonly code: string; readonly detail: string }

/** No answer that says anything: unreachable, too slow, 5xx or 429. */
export class ControlPlaneAway extends Error {
  override readonly name = 'ControlPlaneAway'
}

/** What is sent to join, beside the token. */
export type JoinRequest = Readonly<Record<string, unknown>>

export interface ControlPlane {
  join(body: JoinRequest, signal: AbortSignal): Promise<Answer<JoinAnswer>>
  heartbeat(body: HeartbeatBody, signal: AbortSignal): Promise<Answer<HeartbeatAnswer>>
  claim(key: AttemptKey, body: ClaimBody, signal: AbortSignal): Promise<Answer<Grant>>
  finish(key: AttemptKey, body: FinishBody, signal: AbortSignal): Promise<Answer<unknown>>
  leave(signal: AbortSignal): Promise<Answer<unknown>>
}

export interface ControlPlaneOptions {
  readonly url: string
  readonly session: string
  /** The agent's key; joining works without. */
  readonly key: () => string | null
  /** Another way to call than over HTTP. */
  readonly post?: Post | undefined
}

const TIMEOUT_MS = 10_000
/** Half of the shortest lease: while one control plane hangs, the next try may still reach another one in time. */
const BEAT_TIMEOUT_MS = 3_000
/** A claim's answer reads the store and NATS; a finish may carry a large result. */
const SLOW_TIMEOUT_MS = 20_000

export function createControlPlane(options: ControlPlaneOptions): ControlPlane {
  const send = options.post ?? createPost(options.url)
  const post = <T>(path: string, body: unknown, signal: AbortSignal, timeoutMs = TIMEOUT_MS): Promise<Answer<T>> =>
    call<T>(options, send, {
      path,
      body,
      bounded: AbortSignal.any([signal, AbortSignal.timeout(timeoutMs)]),
      own: signal,
    })
  const jobPath = ({ tenant, job }: AttemptKey, verb: string): string =>
    `/v1/agents/self/jobs/${encodeURIComponent(tenant)}/${encodeURIComponent(job)}/${verb}`
  return {
    join: (body, signal) => post('/v1/agents', body, signal),
    heartbeat: (body, signal) => post('/v1/agents/self/heartbeat', body, signal, BEAT_TIMEOUT_MS),
    claim: (key, body, signal) => post(jobPath(key, 'claim'), body, signal, SLOW_TIMEOUT_MS),
    finish: (key, body, signal) => post(jobPath(key, 'finish'), body, signal, SLOW_TIMEOUT_MS),
    leave: (signal) => post('/v1/agents/self/leave', {}, signal),
  }
}

// As short as a beat's: ends that waited for a control plane are told as soon as it is back.
const BACKOFF = { firstMs: 100, maxMs: 2_000 }

/** Calls until there is an answer, for as long as the signal allows; rejects with its reason. */
export async function untilAnswered<T>(ask: () => Promise<Answer<T>>, signal: AbortSignal): Promise<Answer<T>> {
  for (let tries = 0; ; tries += 1) {
    signal.throwIfAborted()
    try {
      return await ask()
    } catch (error) {
      if (!(error instanceof ControlPlaneAway)) throw error
    }
    await pause(backoffMs(tries, BACKOFF, Math.random()), signal)
  }
}

interface Call {
  readonly path: string
  readonly body: unknown
  /** The caller's signal, and the call's own deadline. */
  readonly bounded: AbortSignal
  readonly own: AbortSignal
}

async function call<T>(
  options: ControlPlaneOptions,
  send: Post,
  { path, body, bounded, own }: Call,
): Promise<Answer<T>> {
  const key = options.key()
  const headers = {
    'content-type': 'application/json',
    [SESSION_HEADER]: options.session,
    ...(key === null ? {} : { authorization: `Bearer ${key}` }),
  }
  try {
    return answerOf<T>(await send(path, headers, JSON.stringify(body), bounded))
  } catch (error) {
    own.throwIfAborted()
    if (error instanceof ControlPlaneAway) throw error
    throw new ControlPlaneAway(`The control plane at ${options.url} does not answer.`, { cause: error })
  }
}

function answerOf<T>({ status, text }: HttpAnswer): Answer<T> {
  if (status >= 200 && status < 300) return { kind: 'ok', value: (text === '' ? {} : JSON.parse(text)) as T }
  const { code, detail } = problemIn(text)
  // Whoever redirects is not the control plane, or not yet.
  if (status >= 500 || status === 429 || status === 408 || (status >= 300 && status < 400))
    throw new ControlPlaneAway(`The control plane answered ${status} (${code}).`)
  if (status === 409 && code === 'superseded') return { kind: 'superseded' }
  if (status === 409 && code === 'fenced') return { kind: 'fenced' }
  return { kind: 'refused', status, code, detail }
}

function problemIn(text: string): { code: string; detail: string } {
  try {
    const { code, detail } = JSON.parse(text) as { code?: unknown; detail?: unknown }
    return { code: typeof code === 'string' ? code : 'unknown', detail: typeof detail === 'string' ? detail : '' }
  } catch {
    // A proxy in front of the control plane answers in its own words.
    return { code: 'unknown', detail: text.slice(0, 200) }
  }
}
