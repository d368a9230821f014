// Everything a container prints, each line once and in the order of its stream, at the consumer's pace. Two kinds of
// source behind one interface: the attached socket while the consumer keeps up, and Docker's log from then on (a full
// buffer, a lost socket, a restarted engine, an adopted container). The switch is exact: the position is the count of
// pieces per stream, and the log is skipped to it.
//
// Promises: at most bufferBytes (and a chunk) are held; the container is never blocked by a slow consumer; the end comes
// when the container has exited and all of its output was handed out, never because a connection ended. Not promised: the
// order between stdout and stderr after a switch; what a killed engine had read from the container and not yet given to
// its log or to the socket, which is nowhere any more.

import type { Socket } from 'node:net'
import { readAttached, type AttachedEnd, type OutputPosition } from './attached-output.ts'
import type { Engine } from './engine-client.ts'
import { endedOrPause, watchExit, type ContainerExit, type ExitWatch } from './exit-watch.ts'
import { followLog } from './followed-log.ts'
import { createLineQueue, type LineQueue, type OutputLine } from './line-queue.ts'

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
  /**
   * To be called when start was answered, at once for a container that runs already. Before it nothing is asked.
   * `unanswered`: the engine was lost within the start, so another one may have taken over the container.
   */
  started: (how?: { unanswered: boolean }) => void
  /** The container's end, which may come long before its last line was taken. */
  readonly exited: Promise<ContainerExit>
  /** Waits for a line; undefined when all was handed out. Rejects when the container or its log is gone, or on close. */
  next: () => Promise<OutputLine | undefined>
  /** A line that is there already, for whoever builds batches. */
  takeNow: () => OutputLine | undefined
  kind: () => 'attached' | 'log'
  bufferedBytes: () => number
  /** Lets go of the container without touching it. Idempotent. */
  close: () => Promise<void>
}

const BUFFER_BYTES = 16 * 1024 * 1024
// The engine answers wait some 10 ms after it ended the socket.
const EXIT_AFTER_END_MS = 2000

type Run = OutputOptions & {
  bufferBytes: number
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
  const running = runOutput({
    ...options,
    bufferBytes: options.bufferBytes ?? BUFFER_BYTES,
    queue,
    stop,
    start: start.promise,
    onLogMode,
  })
    .then(queue.finish, queue.fail)
    .finally(() => stop.removeEventListener('abort', onStop))
  return {
    started: (how) => {
      const { engine, id } = options
      start.resolve(watchExit({ engine, id, signal: stop, engineMayHaveChanged: how?.unanswered }))
    },
    exited,
    next: queue.next,
    takeNow: queue.takeNow,
    kind: () => kind,
    bufferedBytes: queue.sizeBytes,
    async close() {
      closing.abort(new DOMException('The output was closed.', 'AbortError'))
      await running
    },
    // No generator: a step of one costs more than all the work on a short line.
    [Symbol.asyncIterator]: () => ({ next: async () => stepOf(queue.takeNow() ?? (await queue.next())) }),
  }
}

const stepOf = (line: OutputLine | undefined): IteratorResult<OutputLine, undefined> =>
  line === undefined ? { done: true, value: undefined } : { done: false, value: line }

const runOutput = async (run: Run): Promise<void> => {
  const attached = run.socket === undefined ? undefined : await readAttached({ ...run, socket: run.socket })
  if (attached !== undefined && (await endedWithContainer(run, attached))) {
    attached.flush()
    return
  }
  run.onLogMode()
  const position = attached?.position ?? run.position
  const watch = await run.start
  const follow = (stream: 'stdout' | 'stderr'): Promise<void> =>
    followLog({ ...run, watch, stream, from: position[stream], tail: attached?.tails[stream] })
  await Promise.all([follow('stdout'), follow('stderr')])
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
