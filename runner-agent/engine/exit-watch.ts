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
}

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
  engineMayHaveChanged?: boolean | undefined
}): ExitWatch => {
  const { engine, id, signal, engineMayHaveChanged = false } = options
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
  const asking = askUntilAnswered(engine, id, signal)
  asking.then((exit) => resolve(engineMayHaveChanged ? { ...exit, uninterrupted: false } : exit), reject)
  return {
    exited: result.promise,
    ended: ended.signal,
    async check() {
      try {
        const { State: state } = await engine.inspectContainer(id, signal)
        if (hasEnded(state)) resolve({ exitCode: state.ExitCode, uninterrupted: false })
      } catch (error) {
        // Any other failure says nothing about the container: the wait that is running finds out.
        if (isEngineError(error, 'container_missing')) reject(error)
      }
    },
  }
}

const askUntilAnswered = async (engine: Engine, id: string, signal: AbortSignal): Promise<ContainerExit> => {
  for (let attempt = 0; ; attempt += 1) {
    signal.throwIfAborted()
    try {
      const { exitCode } = await engine.waitForExit(id, signal)
      return { exitCode, uninterrupted: attempt === 0 }
    } catch (error) {
      if (!isEngineError(error) || !error.transient) throw error
    }
    await pause(retryDelayMs(attempt), signal)
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
