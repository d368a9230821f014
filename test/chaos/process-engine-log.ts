// The log of one container of the process engine, on disk in the very frames that Docker's API sends: a header, a
// timestamp of 30 characters, a space, one line. It outlives the engine's process. Lines over 16 KiB come in entries of
// that size with one timestamp, as Docker writes them.

import { closeSync, openSync, readFileSync, writeSync } from 'node:fs'

export type LogStream = 'stdout' | 'stderr'

export interface ContainerLog {
  write(stream: LogStream, bytes: Buffer): void
  /** The streams have ended: what is open is the last line. */
  end(): void
  /** All entries of the wanted streams so far, then each new one as it comes. Returns unsubscribe. */
  read(wanted: readonly LogStream[], onEntry: ((frame: Buffer) => void) | null): { stored: Buffer; stop: () => void }
  close(): void
}

const MAX_ENTRY_BYTES = 16_384
const NEWLINE = 10
const CODES: Readonly<Record<LogStream, number>> = { stdout: 1, stderr: 2 }

export function openLog(path: string): ContainerLog {
  const file = openSync(path, 'a', 0o600)
  const open: Record<LogStream, Buffer> = { stdout: Buffer.alloc(0), stderr: Buffer.alloc(0) }
  const followers = new Set<{ codes: readonly number[]; onEntry: (frame: Buffer) => void }>()

  const writeEntry = (stream: LogStream, bytes: Buffer, stamp: string): void => {
    const entry = frame(stream, Buffer.concat([Buffer.from(`${stamp} `), bytes]))
    writeSync(file, entry)
    for (const { codes, onEntry } of followers) if (codes.includes(CODES[stream])) onEntry(entry)
  }
  const writeLine = (stream: LogStream, line: Buffer): void => {
    const stamp = timestamp()
    for (let at = 0; at === 0 || at < line.length; at += MAX_ENTRY_BYTES)
      writeEntry(stream, line.subarray(at, at + MAX_ENTRY_BYTES), stamp)
  }
  return {
    write(stream, bytes) {
      let rest = open[stream].length === 0 ? bytes : Buffer.concat([open[stream], bytes])
      for (let end = rest.indexOf(NEWLINE); end >= 0; end = rest.indexOf(NEWLINE)) {
        writeLine(stream, rest.subarray(0, end + 1))
        rest = rest.subarray(end + 1)
      }
      open[stream] = Buffer.from(rest)
    },
    end() {
      for (const stream of ['stdout', 'stderr'] as const) {
        if (open[stream].length > 0) writeLine(stream, open[stream])
        open[stream] = Buffer.alloc(0)
      }
    },
    read(wanted, onEntry) {
      const codes = wanted.map((stream) => CODES[stream])
      const stored = onlyStreams(readFileSync(path), codes)
      if (!onEntry) return { stored, stop: () => undefined }
      const follower = { codes, onEntry }
      followers.add(follower)
      return { stored, stop: () => void followers.delete(follower) }
    },
    close: () => closeSync(file),
  }
}

/** Docker's multiplexed form: [stream, 0, 0, 0, length] [payload]. */
export function frame(stream: LogStream, payload: Buffer): Buffer {
  const header = Buffer.alloc(8)
  header[0] = CODES[stream]
  header.writeUInt32BE(payload.length, 4)
  return Buffer.concat([header, payload])
}

function onlyStreams(frames: Buffer, codes: readonly number[]): Buffer {
  const kept: Buffer[] = []
  for (let at = 0; at + 8 <= frames.length;) {
    const end = at + 8 + frames.readUInt32BE(at + 4)
    // A kill of the engine may have cut the last entry off.
    if (end > frames.length) break
    if (codes.includes(frames[at] ?? 0)) kept.push(frames.subarray(at, end))
    at = end
  }
  return Buffer.concat(kept)
}

/** Nanoseconds that differ from line to line: entries with one timestamp count as one line. */
let lastNanos = 0n
function timestamp(): string {
  const now = BigInt(Date.now()) * 1_000_000n
  lastNanos = now > lastNanos ? now : lastNanos + 1n
  const seconds = new Date(Number(lastNanos / 1_000_000n)).toISOString().slice(0, 19)
  return `${seconds}.${String(lastNanos % 1_000_000_000n).padStart(9, '0')}Z`
}
