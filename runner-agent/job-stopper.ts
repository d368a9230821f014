// Stops a running container when its job should end: the stop signal, the grace, then SIGKILL, again and again until
// the container has exited, because a restarting engine forgets what it was told. The grace is counted here and not by
// Docker's stop, so that a second cancel can shorten it. Its output must be read meanwhile (engine/attach.ts).
import { pause } from '../shared/pause.ts'
import type { AgentLog } from './agent-log.ts'
import { sentenceOf } from './agent-log.ts'
import type { Engine } from './engine/engine-client.ts'
import type { JobControl } from './job-control.ts'
import type { Writable } from '../shared/writable.ts'

export interface StopperOptions {
  readonly engine: Engine
  readonly containerId: string
  readonly stopSignal: string
  readonly control: JobControl
  /** Aborts when the container has exited, or nobody cares any more. */
  readonly exited: AbortSignal
  readonly log: AgentLog
}

export interface Stopper {
  /** The last signal that was sent, if any. */
  readonly signal: string | undefined
  /** Wall clock, as Docker stamps a container's end: when the first signal was sent. */
  readonly sentAtMs: number | null
  /** Settles when there is nothing left to stop. Never rejects. */
  readonly done: Promise<void>
}

const KILL_AGAIN_MS = 3_000

export function watchForStop(options: StopperOptions): Stopper {
  const { control, exited } = options
  const send = async (name: string): Promise<void> => {
    stopper.signal = name
    stopper.sentAtMs ??= Date.now()
    try {
      await options.engine.killContainer(options.containerId, name, exited)
    } catch (error) {
      if (!exited.aborted)
        options.log.warn('A container could not be signalled.', { signal: name, error: sentenceOf(error) })
    }
  }
  const run = async (): Promise<void> => {
    await aborted(AbortSignal.any([control.ending, exited]))
    if (exited.aborted) return
    if (options.stopSignal !== 'SIGKILL' && control.killAtMs > performance.now()) {
      await send(options.stopSignal)
      await graceOver(control, exited)
    }
    while (!exited.aborted) {
      await send('SIGKILL')
      await pauseUnless(exited, KILL_AGAIN_MS)
    }
  }
  const stopper: Writable<Stopper> = { signal: undefined, sentAtMs: null, done: run() }
  return stopper
}

/** Waits for the end of the grace, which may come nearer meanwhile, or for the container's exit. */
async function graceOver(control: JobControl, exited: AbortSignal): Promise<void> {
  while (!exited.aborted) {
    const leftMs = control.killAtMs - performance.now()
    if (leftMs <= 0) return
    const shortened = new AbortController()
    control.onShortened(() => shortened.abort())
    await pauseUnless(AbortSignal.any([exited, shortened.signal]), leftMs)
  }
}

/** Timers of Node end at 2^31 ms; a longer wait is simply asked again by its loop. */
const LONGEST_TIMER_MS = 2 ** 31 - 1

/** Woken early by the signal, which is its purpose; the caller looks why. */
function pauseUnless(signal: AbortSignal, ms: number): Promise<void> {
  return pause(Math.min(ms, LONGEST_TIMER_MS), signal)
}

/** Calls back at a time by the monotonic clock, however far it is; stops with the signal. */
export async function after(ms: number, signal: AbortSignal, callback: () => void): Promise<void> {
  const at = performance.now() + ms
  while (!signal.aborted) {
    const leftMs = at - performance.now()
    if (leftMs <= 0) return callback()
    await pauseUnless(signal, leftMs)
  }
}

export function aborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve()
    else signal.addEventListener('abort', () => resolve(), { once: true })
  })
}
