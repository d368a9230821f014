// Puts the lines of a container together again from the entries of Docker's log. Pure.
//
// An entry holds at most 16,384 bytes: a longer line is several entries with one timestamp, all but the last exactly that
// long and without a newline. The driver "local" of older engines (20.10) also drops the newline of such a line, so it is
// put back when the next entry shows that the line was over. What comes out is the container's own byte stream.

export type LogJoiner = {
  /** One entry: its timestamp of 30 characters, a space, its bytes. */
  push(entry: Uint8Array): void
  /** The log is complete; what is still open had no newline, as far as this engine can tell. */
  end(): void
}

export type LogJoinerOptions = {
  /** Engines from 26 on keep the newline of a long line. Else only the very last long line is in doubt, and gets one. */
  longLinesKeepNewline: boolean
  onBytes: (bytes: Uint8Array, timestamp: string) => void
}

const TIMESTAMP_CHARACTERS = 30
const PREFIX_BYTES = TIMESTAMP_CHARACTERS + 1
export const FULL_ENTRY_BYTES = 16_384
const SPACE = 32
const NEWLINE = 10
const ONE_NEWLINE = Uint8Array.of(NEWLINE)

export const createLogJoiner = ({ longLinesKeepNewline, onBytes }: LogJoinerOptions): LogJoiner => {
  // The timestamp of a line whose last entry was full: an entry of the same timestamp goes on with it.
  let open: string | undefined
  // The timestamp of a long line that ended without a newline, which only its driver may have dropped.
  let dropped: string | undefined

  const closeBefore = (timestamp: string): boolean => {
    const continues = open === timestamp
    const closed = dropped ?? (continues ? undefined : open)
    if (closed !== undefined) onBytes(ONE_NEWLINE, closed)
    open = undefined
    dropped = undefined
    return continues
  }

  return {
    push(entry) {
      const timestamp = timestampOf(entry)
      const continues = closeBefore(timestamp)
      const bytes = entry.subarray(PREFIX_BYTES)
      if (bytes.length > 0) onBytes(bytes, timestamp)
      if (bytes.at(-1) === NEWLINE) return
      // A short entry that begins a line and has no newline was cut by the end of the container or of an engine: what
      // follows, if anything, is the rest of the line. So nothing is to be put back after it.
      if (bytes.length === FULL_ENTRY_BYTES) open = timestamp
      else if (continues && !longLinesKeepNewline) dropped = timestamp
    },
    end() {
      if (dropped !== undefined) onBytes(ONE_NEWLINE, dropped)
      open = undefined
      dropped = undefined
    },
  }
}

const timestampOf = (entry: Uint8Array): string => {
  if (entry.length < PREFIX_BYTES || entry[TIMESTAMP_CHARACTERS] !== SPACE) {
    throw new Error('Cannot read the log of the container: an entry has no timestamp.')
  }
  return Buffer.from(entry.buffer, entry.byteOffset, TIMESTAMP_CHARACTERS).toString('latin1')
}
