// Where to go on in a container's log after an earlier reading. Pure.
//
// The place is a count of pieces, which is exact while the log has all that was handed out. An engine that is killed takes
// with it what it had read from the container but not yet logged, some of which the attached socket had delivered: whole
// pieces, which are found by their fingerprints, and the start of one, whose rest is then what the log goes on with.

import type { LinePiece } from '../../shared/json-lines.ts'
import type { LineMemory } from './line-memory.ts'
import { FULL_ENTRY_BYTES } from './log-joiner.ts'

/** What an attached socket had delivered of one stream when it ended. */
export type AttachedTail = {
  /** The pieces that were handed out last. */
  memory: LineMemory
  /** The start of a piece whose end did not come. */
  open: LinePiece
}

export type PlacedPiece = LinePiece & {
  /** This piece's number in the log, from 1: the position after it. */
  count: number
}

export type LogPlace = {
  /** Takes the log's next piece; gives what is to be handed out for it, if anything. */
  take(piece: LinePiece): PlacedPiece | undefined
  /** The log is complete: gives what only the socket knew of. */
  end(): PlacedPiece | undefined
}

export const createLogPlace = (options: { skipLines: number; tail?: AttachedTail | undefined }): LogPlace => {
  const { tail } = options
  let skipLines = options.skipLines
  let count = 0
  let open = tail?.open.bytes.length === 0 ? undefined : tail?.open
  return {
    take(piece) {
      count += 1
      if (count <= skipLines && tail?.memory.differs(count, piece.bytes) === true) skipLines = count - 1
      if (count <= skipLines || (open !== undefined && isCutOff(piece.bytes, open.bytes))) return undefined
      const whole = open === undefined ? piece : complete(open, piece)
      open = undefined
      return { ...whole, count }
    },
    end: () => (open === undefined ? undefined : { ...open, count: Math.max(count, skipLines) + 1 }),
  }
}

/** The log's piece, with the start that only the socket knew where the log lacks it. */
const complete = (open: LinePiece, piece: LinePiece): LinePiece =>
  startsWith(piece.bytes, open.bytes)
    ? piece
    : { ...piece, bytes: concat(open.bytes, piece.bytes), part: open.part + piece.part - 1 }

/** The log has full entries of a line that the engine did not live to log whole: the socket had delivered more of it. */
const isCutOff = (bytes: Uint8Array, open: Uint8Array): boolean =>
  bytes.length > 0 && bytes.length % FULL_ENTRY_BYTES === 0 && bytes.length < open.length && startsWith(open, bytes)

const startsWith = (bytes: Uint8Array, start: Uint8Array): boolean =>
  bytes.length >= start.length && start.every((byte, index) => byte === bytes[index])

const concat = (first: Uint8Array, second: Uint8Array): Uint8Array => {
  const whole = new Uint8Array(first.length + second.length)
  whole.set(first)
  whole.set(second, first.length)
  return whole
}
