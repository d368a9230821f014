// A container's output on its way to the publisher, by two readers with different duties.
//   The counter reads everything at the container's pace and keeps nothing. It numbers the updates (so `finish` can say
//   N as soon as the container ended, NATS up or not), follows what the container says of itself, and enforces the output
//   cap. While the publisher has room, what it maps goes straight there: the usual way, and the fast one.
//   The feeder exists once the publisher had no room (NATS away or slow). It reads Docker's log from the line that was
//   not taken, at the publisher's pace. The log holds whatever the cap lets through, so nothing has to be kept in memory
//   and the container is never held up.
// The order between stdout and stderr may differ in the log; the number of updates does not, so N stays true.
import type { Socket } from 'node:net'
import type { ContainerStory } from '../shared/container-story.ts'
import { LINE_COST_BYTES } from '../shared/container-options.ts'
import type { UpdateBody, UpdateMapper } from '../shared/update-mapper.ts'
import type { Engine } from './engine/engine-client.ts'
import type { OutputLine } from './engine/line-queue.ts'
import { isEngineError } from './engine/engine-error.ts'
import { watchExit, type ContainerExit } from './engine/exit-watch.ts'
import { openOutput, type OutputSource } from './engine/output-source.ts'
import type { OutputPosition } from './engine/attached-output.ts'

/** What the output needs of the publisher. */
export interface UpdateSink {
  /** Takes the next updates, of one line; `after` is the position behind it. False: no room, nothing was taken. */
  offer(updates: readonly UpdateBody[], after: OutputPosition): boolean
  /** Settles when there is room again; rejects when nothing will be published any more. */
  room(): Promise<void>
}

export interface JobOutputOptions {
  readonly engine: Engine
  readonly containerId: string
  /** Attached before the start; without it everything comes from Docker's log, from its beginning. */
  readonly socket?: Socket | undefined
  /** Where the stored updates end: earlier lines are only looked at. */
  readonly stored: OutputPosition
  /** The number of the last update so far, own ones included. */
  readonly lastN: () => number
  readonly advance: (count: number) => void
  readonly lineBytes: number
  readonly outputBytes: number
  readonly createMapper: () => UpdateMapper
  readonly sink: UpdateSink
  /** Before the first line is handed on. */
  readonly onFirstLine: () => void
  readonly onOutputLimit: () => void
  readonly signal: AbortSignal
}

export interface JobOutput {
  /** To be called when start was answered, at once for a container that runs already. */
  started(how?: { unanswered: boolean }): void
  exited(): Promise<ContainerExit>
  readonly story: ContainerStory
  /** Everything was read and numbered. Rejects when the container or its log is gone, or with the signal. */
  readonly counted: Promise<void>
  /** Everything was handed to the publisher. */
  readonly handedOver: Promise<void>
  /** Lets go of the container without touching it. */
  close(): Promise<void>
}

export function relayOutput(options: JobOutputOptions): JobOutput {
  const { engine, containerId: id, socket, lineBytes: maxLineBytes, signal } = options
  const source = openOutput({ engine, id, socket, position: { stdout: 0, stderr: 0 }, maxLineBytes, signal })
  const mapper = options.createMapper()
  const feeder = createFeeder(options)
  const counted = countLines(options, source, mapper, feeder)
  // Both are looked at by the run; whoever comes later still gets the rejection.
  const handedOver = counted.then(
    () => feeder.finish(),
    async (error: unknown) => {
      await feeder.finish()
      throw error
    },
  )
  handedOver.catch(() => undefined)
  return {
    started: (how) => source.started(how),
    exited: () => source.exited.catch((error: unknown) => exitWithoutOutput(options, error)),
    story: mapper.story,
    counted,
    handedOver,
    close: () => source.close(),
  }
}

async function countLines(
  options: JobOutputOptions,
  source: OutputSource,
  mapper: UpdateMapper,
  feeder: Feeder,
): Promise<void> {
  const { stored, sink } = options
  const position = { ...stored }
  let costBytes = 0
  let live = true
  let first = true
  const take = (line: OutputLine): void => {
    feeder.counted(line)
    if (line.count <= stored[line.stream]) {
      mapper.map(line, 0)
      return
    }
    if (first) options.onFirstLine()
    first = false
    const n = options.lastN()
    const updates = mapper.map(line, n + 1)
    options.advance(updates.length)
    if (!live) return feeder.numbered()
    if (sink.offer(updates, { ...position, [line.stream]: line.count })) position[line.stream] = line.count
    else {
      live = false
      feeder.start(position, n)
    }
  }
  // Ends with the container's output, at the output limit, or with the signal.
  for (let line = await source.next(); line !== undefined; line = source.takeNow() ?? (await source.next())) {
    costBytes += Math.max(line.bytes.length + 1, LINE_COST_BYTES)
    if (costBytes > options.outputBytes) {
      options.onOutputLimit()
      // A flood that is still being read makes the engine's kill three times slower.
      return source.close()
    }
    take(line)
  }
}

/** The output was closed at its limit: the exit is still to come, and the signal says when nobody waits for it. */
function exitWithoutOutput(
  { engine, containerId: id, signal }: JobOutputOptions,
  error: unknown,
): Promise<ContainerExit> {
  if (isEngineError(error) || signal.aborted) throw error
  return watchExit({ engine, id, signal }).exited
}

interface Feeder {
  /** From the line that was not taken; `n` is the number of the last update before it. */
  start(position: OutputPosition, n: number): void
  /** The counter has read a line … */
  counted(line: OutputLine): void
  /** … and numbered its updates. */
  numbered(): void
  /** The counter is at its end: nothing beyond its last number is wanted. Settles when all up to it was handed on. */
  finish(): Promise<void>
}

/** What the feeder learns from the counter, which is ahead of it. */
interface Ahead {
  /** How many of the next updates, up to `n`, the counter has counted; waits while it may still come to them. */
  wanted(from: number, count: number): Promise<number>
  /** The line with the ending that the counter saw: of a long last line Docker's log does not tell whether it had one. */
  trueEnd(line: OutputLine): Promise<OutputLine>
}

function createFeeder(options: JobOutputOptions): Feeder {
  let running: Promise<void> = Promise.resolve()
  let over = false
  let wake: () => void = () => undefined
  const read = { stdout: 0, stderr: 0 }
  const lastOpen = { stdout: 0, stderr: 0 }
  // Woken by each line that is counted, and by the end.
  const until = async (reached: () => boolean): Promise<void> => {
    while (!over && !reached()) await new Promise<void>((resolve) => (wake = resolve))
  }
  const ahead: Ahead = {
    async wanted(from, count) {
      await until(() => options.lastN() >= from + count)
      return Math.min(count, options.lastN() - from)
    },
    async trueEnd(line) {
      await until(() => read[line.stream] >= line.count)
      return line.eol && lastOpen[line.stream] === line.count ? { ...line, eol: false } : line
    },
  }
  return {
    start(position, n) {
      running = feed(options, { ...position }, n, ahead)
      running.catch(() => undefined)
    },
    counted(line) {
      read[line.stream] = line.count
      if (!line.eol) lastOpen[line.stream] = line.count
      wake()
    },
    numbered: () => wake(),
    async finish() {
      over = true
      wake()
      await running
    },
  }
}

async function feed(
  options: JobOutputOptions,
  position: { stdout: number; stderr: number },
  from: number,
  ahead: Ahead,
): Promise<void> {
  const { engine, containerId: id, lineBytes: maxLineBytes, sink, signal } = options
  const source = openOutput({ engine, id, position: { ...position }, maxLineBytes, signal })
  source.started()
  const mapper = options.createMapper()
  let n = from
  try {
    for await (const line of source) {
      const updates = mapper.map(await ahead.trueEnd(line), 0)
      const count = await ahead.wanted(n, updates.length)
      // Beyond the output limit.
      if (count === 0) return
      position[line.stream] = line.count
      while (!sink.offer(updates.slice(0, count), { ...position })) await sink.room()
      n += count
    }
  } finally {
    await source.close()
  }
}
