// The lines between an engine that produces them and a consumer that takes them one by one. Counts bytes, not lines, and
// charges each line for the objects around it, so that a million blank lines are not free. It never refuses a line: the
// producer looks at sizeBytes (and goes elsewhere) or waits for room. One consumer; the failure, if any, comes after the
// lines that were queued before it.

import type { LinePiece } from '../../shared/json-lines.ts'

export type OutputLine = LinePiece & {
  stream: 'stdout' | 'stderr'
  /** When the line was read, in milliseconds since 1970. */
  at: number
  /**
   * The position of its stream after this piece: pieces since the container's start. It counts up by one, except after a
   * crash of the engine that lost part of its log: there it falls back to what the log still has.
   */
  count: number
}

export type LineQueue = {
  sizeBytes: () => number
  push: (line: OutputLine) => void
  /** Settles when less than `belowBytes` are queued, or when the queue was ended. */
  room: (belowBytes: number) => Promise<void>
  /** Nothing more will come. */
  finish: () => void
  fail: (reason: unknown) => void
  /** Drops what is queued and fails at once. */
  abandon: (reason: unknown) => void
  takeNow: () => OutputLine | undefined
  next: () => Promise<OutputLine | undefined>
}

type Ending = { failed: false } | { failed: true; reason: unknown }

export const createLineQueue = (): LineQueue => {
  const lines = createLineList()
  const waiters = createWaiters()
  let ending: Ending | undefined

  const end = (how: Ending): void => {
    ending ??= how
    waiters.wake()
  }
  const takeNow = (): OutputLine | undefined => {
    const line = lines.take()
    if (line !== undefined) waiters.wake()
    return line
  }
  return {
    sizeBytes: () => lines.sizeBytes,
    push(line) {
      if (ending !== undefined) return
      lines.add(line)
      waiters.wake()
    },
    room: (belowBytes) => waiters.until(() => ending !== undefined || lines.sizeBytes < belowBytes),
    finish: () => end({ failed: false }),
    fail: (reason) => end({ failed: true, reason }),
    abandon(reason) {
      lines.clear()
      end({ failed: true, reason })
    },
    takeNow,
    async next() {
      // Each turn takes a line, ends, or waits for one of both.
      for (;;) {
        const line = takeNow()
        if (line !== undefined) return line
        if (ending?.failed === true) throw ending.reason
        if (ending !== undefined) return undefined
        await waiters.until(() => ending !== undefined || lines.sizeBytes > 0)
      }
    },
  }
}

type Waiters = { until: (isReady: () => boolean) => Promise<void>; wake: () => void }

/** The few that wait for the queue: the consumer, and a reader for each stream. */
const createWaiters = (): Waiters => {
  let waiting: { isReady: () => boolean; resolve: () => void }[] = []
  return {
    until: (isReady) =>
      new Promise((resolve) => {
        if (isReady()) resolve()
        else waiting.push({ isReady, resolve })
      }),
    wake() {
      if (waiting.length === 0) return
      const ready = waiting.filter((waiter) => waiter.isReady())
      if (ready.length === 0) return
      waiting = waiting.filter((waiter) => !ready.includes(waiter))
      for (const waiter of ready) waiter.resolve()
    },
  }
}

const LINE_OVERHEAD_BYTES = 160
// Taken lines are cut off the front of the array many at a time: shift() would move the rest for each line.
const TRIM_AT = 1024

type LineList = {
  sizeBytes: number
  add: (line: OutputLine) => void
  take: () => OutputLine | undefined
  clear: () => void
}

const createLineList = (): LineList => {
  let lines: OutputLine[] = []
  let head = 0
  const list: LineList = {
    sizeBytes: 0,
    add(line) {
      lines.push(line)
      list.sizeBytes += costOf(line)
    },
    take() {
      const line = lines[head]
      if (line === undefined) return undefined
      head += 1
      if (head === lines.length || head === TRIM_AT) {
        lines = lines.slice(head)
        head = 0
      }
      list.sizeBytes -= costOf(line)
      return line
    },
    clear() {
      lines = []
      head = 0
      list.sizeBytes = 0
    },
  }
  return list
}

const costOf = (line: OutputLine): number => line.bytes.length + LINE_OVERHEAD_BYTES
