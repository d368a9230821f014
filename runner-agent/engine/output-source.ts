// Everything a container prints, each line once and in the order of its stream, at the consumer's pace. Two kinds of
// source behind one interface: the attached socket while the consumer keeps up, and Docker's log from then on (a full
// buffer, a lost socket, a restarted engine, an adopted container). The switch is exact: the position is the count of
// pieces per stream, and the log is skipped to it.
//
// Promises: at most bufferBytes (and a chunk) are held; the container is never blocked by a slow consumer; the end comes
// when the container has exited and all of its output was handed out, never because a connection ended. Not promised: the
// order between stdout and stderr after a switch.

import type { Socket } from 'node:net'
import { readAttached, type AttachedEnd, type OutputPosition } from './attached-output.ts'
import { readLog, type LogLine } from './docker-log.ts'
import type { Engine } from './engine-client.ts'
import { isEngineError } from './engine-error.ts'
import { watchExit, type ContainerExit, type ExitWatch } from './exit-watch.ts'
import { createLineQueue, type LineQueue, type OutputLine } from './line-queue.ts'
import { pause, retryDelayMs } from './pause.ts'

export type OutputOptions = {
  engine: Engine
  id: string
  /** Attached before start. Without it the output comes from Docker's log. */
  socket?: Socket | undefined
  /** Where to begin: what was handed out, and stored, before. All of it for a fresh container is {0, 0}. */
  position: OutputPosition
  bufferBytes?: number
  maxLineBytes: number
  signal?: AbortSignal | undefined
}

export type OutputSource = AsyncIterable<OutputLine> & {
  /** To be called when start was answered, at once for a container that runs already. Before it nothing is asked. */
  started: () => void
  /** The container's end, which may come long before its last line was taken. */
  readonly exited: Promise<ContainerExit>
  /** Waits for a line; undefined when all was handed out. Rejects when the container or its log is gone, or on close. */
  next: () => Promise<OutputLine | undefined>
  /** A line that is there already. */
  takeNow: () => OutputLine | undefined
  readonly kind: 'attached' | 'log'
  readonly bufferedBytes: number
  /** Lets go of the container without touching it. Idempotent. */
  close: () => Promise<void>
}

const BUFFER_BYTES = 16 * 1024 * 1024
// What the log readers may put into the queue: they wait there, the log does not mind.
const LOG_BUFFER_BYTES = 1024 * 1024
// The engine answers wait some 10 ms after it ended the socket.
const EXIT_AFTER_END_MS = 2000
const MAX_LOG_FAULTS = 5

type Run = OutputOptions & {
  queue: LineQueue
  stop: AbortSignal
  /** Settles when started() was called. */
  start: Promise<ExitWatch>
  onLogMode: () => void
}

export const openOutput = (options: OutputOptions): OutputSource => {
  const closing = new AbortController()
  const stop = AbortSignal.any([closing.signal, ...(options.signal === undefined ? [] : [options.signal])])
  const queue = createLineQueue()
  const start = Promise.withResolvers<ExitWatch>()
  const exited = start.promise.then((watch) => watch.exited)
  // Both are for whoever asks; a close without anybody asking is no failure.
  exited.catch(() => undefined)
  let kind: 'attached' | 'log' = options.socket === undefined ? 'log' : 'attached'
  const onStop = (): void => {
    options.socket?.destroy()
    queue.abandon(stop.reason)
    start.reject(stop.reason)
  }
  if (stop.aborted) onStop()
  else stop.addEventListener('abort', onStop, { once: true })
  const onLogMode = (): void => {
    kind = 'log'
  }
  const running = runOutput({ ...options, queue, stop, start: start.promise, onLogMode })
    .then(queue.finish, queue.fail)
    .finally(() => stop.removeEventListener('abort', onStop))
  return {
    started: () => start.resolve(watchExit({ engine: options.engine, id: options.id, signal: stop })),
    exited,
    next: queue.next,
    takeNow: queue.takeNow,
    get kind() {
      return kind
    },
    get bufferedBytes() {
      return queue.sizeBytes
    },
    async close() {
      closing.abort(new DOMException('The output was closed.', 'AbortError'))
      await running
    },
    async *[Symbol.asyncIterator]() {
      for (let line = await queue.next(); line !== undefined; line = await queue.next()) yield line
    },
  }
}

const runOutput = async (run: Run): Promise<void> => {
  let position = run.position
  if (run.socket !== undefined) {
    const bufferBytes = run.bufferBytes ?? BUFFER_BYTES
    const end = await readAttached({ ...run, socket: run.socket, bufferBytes })
    if (await endedWithContainer(run, end)) {
      end.flush()
      return
    }
    position = end.position
  }
  run.onLogMode()
  const watch = await run.start
  await Promise.all([
    followLog(run, watch, 'stdout', position.stdout),
    followLog(run, watch, 'stderr', position.stderr),
  ])
}

/** Whether the end of the socket was the end of the job, with nothing lost: else the log has to be read. */
const endedWithContainer = async (run: Run, end: AttachedEnd): Promise<boolean> => {
  const watch = await run.start
  if (!end.clean) return false
  await endedOrPause(watch, EXIT_AFTER_END_MS, run.stop)
  if (!watch.ended.aborted) return false
  // A rejection (the container is gone) is met again by the reading of the log.
  return watch.exited.then(
    (exit) => exit.uninterrupted,
    () => false,
  )
}

const followLog = async (run: Run, watch: ExitWatch, stream: 'stdout' | 'stderr', from: number): Promise<void> => {
  const { engine, id, maxLineBytes, queue, stop } = run
  let skipLines = from
  let fruitless = 0
  let faults = 0
  const handOut = (line: LogLine): Promise<void> | undefined => {
    skipLines = line.count
    fruitless = 0
    queue.push({ ...line, stream })
    return queue.sizeBytes < LOG_BUFFER_BYTES ? undefined : queue.room(LOG_BUFFER_BYTES)
  }
  // Ends with the reading that began after the exit, with a fault that stays, or with the signal.
  for (;;) {
    stop.throwIfAborted()
    const last = watch.ended.aborted
    // The exit cuts a followed reading short: only the reading after it is sure to be complete, and follow may hang.
    const signal = last ? stop : AbortSignal.any([stop, watch.ended])
    try {
      await readLog(
        { socketPath: engine.socketPath, id, stream, skipLines, follow: !last, maxLineBytes, signal },
        handOut,
      )
      if (last) return
    } catch (error) {
      if (last || !watch.ended.aborted) {
        faults += isEngineError(error, 'engine_away', 'engine_silent') ? 0 : 1
        if (!isEngineError(error) || !error.transient || faults > MAX_LOG_FAULTS) throw error
      }
    }
    fruitless += 1
    if (last) await pause(retryDelayMs(fruitless), stop)
    else await endedOrPause(watch, retryDelayMs(fruitless), stop)
  }
}

/** A connection ended: usually the container did too, and the wait says so in a moment; else it is asked by inspect. */
const endedOrPause = async (watch: ExitWatch, delayMs: number, stop: AbortSignal): Promise<void> => {
  try {
    await pause(delayMs, AbortSignal.any([watch.ended, stop]))
  } catch {
    // Woken early: by the exit, which was hoped for, or by the caller.
    stop.throwIfAborted()
    return
  }
  await watch.check()
}
