// A few lines at the bottom of a terminal that are redrawn in place, with other output scrolling above them.
//
// Drawn on stderr, at most ten times a second, only while stdout and stderr are at the start of a line (a job's prompt
// without a newline must not be overwritten). Every write of others goes through `around`, which takes the region away
// first. Each line is cut to the width, so that the number of rows is known when the region is cleared.

import type { Output } from './output.ts'

export interface Region {
  /** New content, asked for when it is drawn; an empty array removes it. */
  show(content: () => readonly string[]): void
  /** Clears the region, does the write, draws again. */
  around(write: () => Promise<void>): Promise<void>
  close(): Promise<void>
}

const frameMs = 100

export function createRegion(stderr: Output, stdout: Output): Region {
  if (!stderr.isTTY) return { show() {}, around: (write) => write(), close: () => Promise.resolve() }
  let wanted: () => readonly string[] = () => []
  let drawnRows = 0
  let timer: ReturnType<typeof setTimeout> | undefined
  // Writes follow each other: a redraw between a clear and a write would leave pieces behind.
  let queue = Promise.resolve()
  const inOrder = (work: () => Promise<void>): Promise<void> => (queue = queue.then(work))

  const clear = async (): Promise<void> => {
    // To the first drawn row, then erase everything below.
    if (drawnRows > 0) await stderr.control(`\u001B[${drawnRows}A\r\u001B[J`)
    drawnRows = 0
  }
  const draw = async (): Promise<void> => {
    await clear()
    const lines = wanted()
    if (lines.length === 0 || !stderr.atLineStart || (stdout.isTTY && !stdout.atLineStart)) return
    const width = Math.max(10, stderr.columns - 1)
    drawnRows = lines.length
    await stderr.write(lines.map((line) => `${cutToWidth(line, width)}\n`).join(''))
  }
  const drawSoon = (): void => {
    timer ??= setTimeout(() => {
      timer = undefined
      void inOrder(draw)
    }, frameMs)
  }
  return {
    show(content) {
      wanted = content
      drawSoon()
    },
    around: (write) =>
      inOrder(async () => {
        await clear()
        await write()
        drawSoon()
      }),
    async close() {
      clearTimeout(timer)
      timer = undefined
      wanted = () => []
      await inOrder(clear)
    },
  }
}

const escape = '\u001B['
/** A colour sequence, or one character. Built from text, because a control character in a pattern looks like a mistake. */
const pieces = new RegExp([String.raw`${escape.charAt(0)}\[\d*m`, '.'].join('|'), 'gsu')

/** Colour sequences have no width and stay whole. */
export function cutToWidth(line: string, width: number): string {
  let left = width
  let cut = ''
  for (const [piece] of line.matchAll(pieces)) {
    if (piece.startsWith(escape)) cut += piece
    else if (left > 0) {
      cut += piece
      left -= 1
    }
  }
  return cut
}
