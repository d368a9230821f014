// Calls to the engine that are worth repeating: it restarts in seconds, and a job should not die of that.
import { isEngineError } from './engine/engine-error.ts'
import { pause, retryDelayMs } from './engine/pause.ts'

const TRIES = 10

/** Repeats `call` while the engine is away, ten times at most (about half a minute). What it answers stands. */
export async function retryEngine<T>(call: () => Promise<T>, signal: AbortSignal, tries = TRIES): Promise<T> {
  for (let tried = 1; ; tried += 1) {
    signal.throwIfAborted()
    try {
      return await call()
    } catch (error) {
      if (!isEngineError(error, 'engine_away', 'engine_silent', 'being_removed') || tried >= tries) throw error
    }
    await pause(retryDelayMs(tried), signal)
  }
}
