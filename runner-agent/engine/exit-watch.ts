// Knows when the container has ended. Asks the engine's wait, again and again across restarts of the engine, until there
// is an answer, the container is gone, or the signal aborts. Only this decides that a job ended: the end of an attached
// socket or of a followed log does not.

import type { Engine } from './engine-client.ts'
import { isEngineError } from './engine-error.ts'
import { pause, retryDelayMs } from './pause.ts'

export type ContainerExit = {
  exitCode: number
  /**
   * One and the same engine process answered the wait that was asked right after start. If not, an attached socket that
   * ended may have ended with an engine instead of with the job, and a code of 255 is the engine's fault.
   */
  uninterrupted: boolean
  /**
   * When no engine was there, in milliseconds since 1970: nobody read what the container printed then. From the first loss
   * to the last return: an end in between would have been told.
   */
  outage?: Outage | undefined
}

export type Outage = { fromMs: number; toMs: number }

export type ExitWatch = {
  /** Rejects with container_missing, or with the abort reason. */
  readonly exited: Promise<ContainerExit>
  /** Aborted when `exited` has settled, so that a wait for something else can end with it. */
  readonly ended: AbortSignal
  /** Asks by inspect, for the case that wait hangs; settles `exited` if the container has ended. Never throws. */
  check: () => Promise<void>
}

export const watchExit = (options: {
  engine: Engine
  id: string
  signal: AbortSignal
  /** The engine that answers now may be another one than at the start: its first answer proves nothing. */
  engineLostAtMs?: number | undefined
}): ExitWatch => {
  const { engine, id, signal, engineLostAtMs } = options
  const result = Promise.withResolvers<ContainerExit>()
  const ended = new AbortController()
  const resolve = (exit: ContainerExit): void => {
    result.resolve(exit)
    ended.abort()
  }
  const reject = (error: unknown): void => {
    result.reject(error)
    ended.abort()
  }
  // Nobody may be waiting yet; whoever does gets the rejection all the same.
  result.promise.catch(() => undefined)
  const outage = watchOutage(engineLostAtMs)
  const asking = askUntilAnswered(engine, id, signal, outage)
  asking.then((exit) => resolve(engineLostAtMs === undefined ? exit : { ...exit, uninterrupted: false }), reject)
  return {
    exited: result.promise,
    ended: ended.signal,
    async check() {
      try {
        const { State: state } = await engine.inspectContainer(id, signal)
        if (!hasEnded(state)) outage.over()
        else resolve({ exitCode: state.ExitCode, uninterrupted: false, outage: outage.until(Date.now()) })
      } catch (error) {
        // Any other failure says nothing about the container: the wait that is running finds out.
        if (isEngineError(error, 'container_missing')) reject(error)
      }
    },
  }
}

const askUntilAnswered = async (
  engine: Engine,
  id: string,
  signal: AbortSignal,
  outage: OutageWatch,
): Promise<ContainerExit> => {
  for (let attempt = 0; ; attempt += 1) {
    signal.throwIfAborted()
    try {
      const { exitCode, answeredAtMs } = await engine.waitForExit(id, signal)
      return { exitCode, uninterrupted: attempt === 0, outage: outage.until(answeredAtMs) }
    } catch (error) {
      if (!isEngineError(error) || !error.transient) throw error
      if (isEngineError(error, 'engine_away')) outage.begin()
    }
    await pause(retryDelayMs(attempt), signal)
  }
}

type OutageWatch = {
  begin: () => void
  /** An engine is there and the container still runs. */
  over: () => void
  /** An engine was there at that time at the latest, and the container had ended. */
  until: (toMs: number) => Outage | undefined
}

const watchOutage = (sinceMs: number | undefined): OutageWatch => {
  let fromMs = sinceMs
  let overAtMs: number | undefined
  return {
    begin() {
      fromMs ??= Date.now()
      overAtMs = undefined
    },
    over: () => void (overAtMs ??= Date.now()),
    until: (toMs) => (fromMs === undefined ? undefined : { fromMs, toMs: overAtMs ?? toMs }),
  }
}

/** A connection ended: usually the container did too, and the wait says so in a moment; else it is asked by inspect. */
export const endedOrPause = async (watch: ExitWatch, delayMs: number, stop: AbortSignal): Promise<void> => {
  try {
    await pause(delayMs, AbortSignal.any([watch.ended, stop]))
  } catch {
    // Woken early: by the exit, which was hoped for, or by the caller.
    stop.throwIfAborted()
    return
  }
  await watch.check()
}

/** A created container is not running either, and its exit code is a false 0. */
const hasEnded = (state: { Running: boolean; StartedAt: string }): boolean =>
  !state.Running && !state.StartedAt.startsWith('0001-')
