// One stream of a container from its log into the queue, until the container has ended and all of it was handed out:
// across restarts of the engine, at the consumer's pace. A followed log may end early or hang, so the reading that counts
// is the one that begins after the exit, without follow, from the position reached.

import type { LogLine, LogRequest } from './docker-log.ts'
import type { Engine } from './engine-client.ts'
import { isEngineError } from './engine-error.ts'
import { endedOrPause, type ExitWatch } from './exit-watch.ts'
import type { LineQueue } from './line-queue.ts'
import { pause, retryDelayMs } from './pause.ts'

export type FollowOptions = {
  engine: Engine
  id: string
  stream: 'stdout' | 'stderr'
  /** Pieces that were handed out before. */
  from: number
  tail: LogRequest['tail']
  maxLineBytes: number
  queue: LineQueue
  watch: ExitWatch
  stop: AbortSignal
}

// What a reader may put into the queue; then it waits, which the log does not mind.
const QUEUED_BYTES = 1024 * 1024
const MAX_FAULTS = 5

export const followLog = async (options: FollowOptions): Promise<void> => {
  const { watch, stop } = options
  const reading = createReading(options)
  let faults = 0
  // Ends with the reading that began after the exit, with a fault that stays, or with the signal.
  for (let fruitless = 1; ; fruitless += 1) {
    stop.throwIfAborted()
    const last = watch.ended.aborted
    const before = reading.position()
    try {
      // The exit cuts a followed reading short: the next one reads everything that is left.
      await reading.run(!last, last ? stop : AbortSignal.any([stop, watch.ended]))
      if (last) return
    } catch (error) {
      const cutByExit = !last && watch.ended.aborted
      if (!cutByExit) {
        faults += isEngineError(error, 'engine_away', 'engine_silent') ? 0 : 1
        if (!isEngineError(error) || !error.transient || faults > MAX_FAULTS) throw error
      }
    }
    if (reading.position() !== before) fruitless = 0
    if (last) await pause(retryDelayMs(fruitless), stop)
    else await endedOrPause(watch, retryDelayMs(fruitless), stop)
  }
}

type Reading = { position: () => number; run: (follow: boolean, signal: AbortSignal) => Promise<void> }

const createReading = ({ engine, id, stream, from, tail, maxLineBytes, queue }: FollowOptions): Reading => {
  let position = from
  // Once a piece has come from the log, positions are the log's own.
  let compare = tail
  const handOut = (line: LogLine): Promise<void> | undefined => {
    position = line.count
    compare = undefined
    queue.push({ ...line, stream })
    return queue.sizeBytes() < QUEUED_BYTES ? undefined : queue.room(QUEUED_BYTES)
  }
  return {
    position: () => position,
    run(follow, signal) {
      const place = { id, stream, skipLines: position, tail: compare }
      return engine.readLog({ ...place, follow, maxLineBytes, signal }, handOut)
    },
  }
}
