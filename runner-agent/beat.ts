// The heartbeat: level-triggered. Each beat carries the full list of what this agent holds, each answer the full list of
// what is wanted, so whatever was lost, repeated or late, two beats later both sides agree. Beats come when the control
// plane asked for the next one, and at once on news (`poke`), of which any number makes one beat. One beat is in flight
// at a time. The loop ends with its signal, or when a newer process of this agent has taken over.
import { backoffMs } from '../shared/backoff.ts'
import type { HeartbeatAnswer, HeartbeatBody, HeldAttempt } from '../shared/agent-protocol.ts'
import { sentenceOf, type AgentLog } from './agent-log.ts'
import { ControlPlaneAway, type Answer, type ControlPlane } from './control-plane-client.ts'
import type { Writable } from '../shared/writable.ts'

export interface HeartbeatOptions {
  readonly controlPlane: ControlPlane
  readonly bootId: string
  readonly held: () => HeldAttempt[]
  /** What goes along beside the list: the machine, where it changed. */
  readonly news: () => Pick<HeartbeatBody, 'capacity' | 'posture' | 'draining'>
  /** `listed`: what the beat named, because the answer says nothing about attempts that began after it. */
  readonly onAnswer: (answer: HeartbeatAnswer, listed: readonly HeldAttempt[]) => void
  /** The key is not known (any more): this agent was deleted, or the database is another one. */
  readonly onUnknown: () => Promise<void>
  readonly log: AgentLog
}

export interface Heartbeat {
  /** Beats until the signal aborts or the agent is superseded. */
  run(signal: AbortSignal): Promise<'stopped' | 'superseded'>
  poke(): void
  /** The number of the last beat that was built: what a claim carries. */
  readonly beat: number
}

const FIRST_TERM_MS = 2_000
// A control plane that comes back is found within the term of a beat: a longer pause would cost the lease.
const BACKOFF = { firstMs: 250, maxMs: 2_000 }
// News come in bursts (a container's phases within milliseconds of each other).
const GATHER_MS = 20
// An answer is work for the control plane: never longer apart than this, whatever it says, nor faster.
const TERM_BOUNDS_MS = { min: 50, max: 300_000 }

export function createHeartbeat(options: HeartbeatOptions): Heartbeat {
  const alarm = createAlarm()

  const beatOnce = async (signal: AbortSignal): Promise<Answer<HeartbeatAnswer>> => {
    heartbeat.beat += 1
    alarm.reset()
    const attempts = options.held()
    const body = { beat: heartbeat.beat, boot_id: options.bootId, ...options.news(), attempts }
    const answer = await options.controlPlane.heartbeat(body, signal)
    if (answer.kind === 'ok') options.onAnswer(answer.value, attempts)
    return answer
  }

  const heartbeat: Writable<Heartbeat> = {
    poke: () => alarm.ring(),
    beat: 0,
    async run(signal) {
      let failures = 0
      while (!signal.aborted) {
        let waitMs = FIRST_TERM_MS
        try {
          const answer = await beatOnce(signal)
          failures = 0
          if (answer.kind === 'superseded') return 'superseded'
          if (answer.kind === 'ok') waitMs = answer.value.next_beat_seconds * 1000
          else await handleRefusal(options, answer)
        } catch (error) {
          if (signal.aborted) break
          if (!(error instanceof ControlPlaneAway)) throw error
          waitMs = backoffMs(failures, BACKOFF, Math.random())
          failures += 1
          if (failures === 3)
            options.log.warn('The control plane does not answer; running jobs go on.', { error: sentenceOf(error) })
        }
        await alarm.wait(Math.min(Math.max(waitMs, TERM_BOUNDS_MS.min), TERM_BOUNDS_MS.max), signal)
      }
      return 'stopped'
    },
  }
  return heartbeat
}

interface Alarm {
  ring(): void
  /** Forgets an earlier ring: what it was about is in the beat that is built now. */
  reset(): void
  /** Until the time is over, or shortly after a ring; resolves when the signal aborts, too. */
  wait(ms: number, signal: AbortSignal): Promise<void>
}

function createAlarm(): Alarm {
  let rung = false
  let wake: (() => void) | undefined
  return {
    ring() {
      rung = true
      wake?.()
    },
    reset() {
      rung = false
    },
    async wait(ms, signal) {
      if (!rung) await wakeable(ms, signal, (waker) => (wake = waker))
      wake = undefined
      if (rung && !signal.aborted) await wakeable(GATHER_MS, signal)
    },
  }
}

async function handleRefusal(options: HeartbeatOptions, answer: Answer<HeartbeatAnswer>): Promise<void> {
  if (answer.kind !== 'refused') return
  options.log.error('The control plane refused a heartbeat.', {
    status: answer.status,
    code: answer.code,
    detail: answer.detail,
  })
  if (answer.status === 401 || answer.status === 403) await options.onUnknown()
}

/** Resolves after `ms`, when woken, or when the signal aborts; never rejects. */
function wakeable(
  ms: number,
  signal: AbortSignal,
  register: (wake: () => void) => void = () => undefined,
): Promise<void> {
  return new Promise((resolve) => {
    const finish = (): void => {
      clearTimeout(timer)
      signal.removeEventListener('abort', finish)
      resolve()
    }
    const timer = setTimeout(finish, ms)
    signal.addEventListener('abort', finish, { once: true })
    register(finish)
    if (signal.aborted) finish()
  })
}
