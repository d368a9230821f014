// Reads one stream of a container's log from Docker, as the container's original lines. The log is the spool: it is what
// an agent reads after a crash, and what it reads while its consumer is too slow for the attached socket, because a
// stalled reader of the log harms neither the container nor the engine.
//
// Promises: the same pieces in the same order at each reading, so that a count of pieces is a position; back-pressure
// (the next piece comes when onLine's promise has settled). With follow it ends when the engine ends it, which may be
// before the last line: after the container's exit read once more without follow, from the position reached.

import { createLineSplitter } from '../../shared/json-lines.ts'
import { createDemux } from './demux.ts'
import { EngineError, isEngineError } from './engine-error.ts'
import { createLogJoiner } from './log-joiner.ts'
import { createLogPlace, type AttachedTail, type PlacedPiece } from './log-place.ts'
import { lossOf, openResponse, type EngineCall } from './raw-http.ts'

export type LogLine = PlacedPiece & {
  /** When the engine read the line, in milliseconds. */
  at: number
}

export type LogRequest = {
  socketPath: string
  id: string
  stream: 'stdout' | 'stderr'
  /** Pieces to leave out: those that an earlier reading handed out. */
  skipLines: number
  /** What the socket had delivered, where nothing has come from the log since: the log may have less. */
  tail?: AttachedTail | undefined
  follow: boolean
  maxLineBytes: number
  signal?: AbortSignal | undefined
}

const MAX_ENTRY_BYTES = 2 * 1024 * 1024
const FIRST_ENGINE_THAT_KEEPS_NEWLINES = 26

export const readLog = async (request: LogRequest, onLine: (line: LogLine) => void | Promise<void>): Promise<void> => {
  const call = callOf(request)
  const response = await openResponse(call)
  const reader = createLogReader(request, engineMajor(response.headers['server']))
  const handOut = async (): Promise<void> => {
    for (const line of reader.takeLines()) {
      const pending = onLine(line)
      if (pending !== undefined) await pending
    }
  }
  try {
    for await (const chunk of response) {
      reader.push(chunk as Uint8Array)
      await handOut()
    }
    reader.finish()
    await handOut()
  } catch (error) {
    if (isEngineError(error) || !isConnectionError(error)) throw request.signal?.aborted ? request.signal.reason : error
    throw lossOf(call, error)
  } finally {
    response.destroy()
  }
}

const callOf = (request: LogRequest): EngineCall => {
  const wanted = new URLSearchParams({
    stdout: request.stream === 'stdout' ? '1' : '0',
    stderr: request.stream === 'stderr' ? '1' : '0',
    follow: request.follow ? '1' : '0',
    timestamps: '1',
  })
  return {
    socketPath: request.socketPath,
    method: 'GET',
    path: `/containers/${request.id}/logs?${wanted.toString()}`,
    action: 'read the log of container',
    subject: request.id,
    signal: request.signal,
  }
}

type LogReader = {
  push(chunk: Uint8Array): void
  finish(): void
  takeLines(): LogLine[]
}

const createLogReader = (request: LogRequest, major: number): LogReader => {
  let lines: LogLine[] = []
  let timestamp = ''
  const place = createLogPlace(request)
  const keep = (piece: PlacedPiece | undefined, at: number): void => {
    if (piece !== undefined) lines.push({ ...piece, at })
  }
  const splitter = createLineSplitter({
    maxLineBytes: request.maxLineBytes,
    onLine: (piece) => keep(place.take(piece), Date.parse(timestamp)),
  })
  const joiner = createLogJoiner({
    longLinesKeepNewline: major >= FIRST_ENGINE_THAT_KEEPS_NEWLINES,
    onBytes: (bytes, entryTimestamp) => {
      timestamp = entryTimestamp
      splitter.push(bytes)
    },
  })
  const demux = createEntryDemux((entry) => joiner.push(entry))
  return {
    push: (chunk) => demux.push(chunk),
    finish() {
      if (!demux.clean())
        throw lossOf({ action: 'read the log of container', subject: request.id, signal: request.signal }, undefined)
      // The end of a followed log proves nothing: its open line may go on after the engine's restart.
      if (request.follow) return
      joiner.end()
      splitter.end()
      keep(place.end(), Date.now())
    },
    takeLines() {
      const taken = lines
      lines = []
      return taken
    },
  }
}

/** In a log each frame is one entry; its parts are put together here when chunks cut it. */
const createEntryDemux = (onEntry: (entry: Uint8Array) => void): ReturnType<typeof createDemux> => {
  let parts: Uint8Array[] = []
  return createDemux((stream, bytes, frameEnds) => {
    parts.push(bytes)
    if (!frameEnds) return
    const entry = parts.length === 1 ? bytes : Buffer.concat(parts)
    parts = []
    if (stream === 'system') throw unreadable(new TextDecoder().decode(entry))
    onEntry(entry)
  }, MAX_ENTRY_BYTES)
}

const unreadable = (words: string): EngineError =>
  new EngineError({
    kind: 'log_unreadable',
    code: 'internal',
    message: `Docker cannot read the log of the container: ${words.trim().slice(0, 300)}.`,
    hint: 'Look at the log of the Docker engine ("journalctl -u docker").',
    transient: true,
  })

const isConnectionError = (error: unknown): boolean =>
  error instanceof Error && ('code' in error || error.name === 'AbortError')

/** From the Server header, "Docker/20.10.24+dfsg1 (linux)"; 0 where there is none. */
const engineMajor = (server: string | string[] | undefined): number =>
  Number(/Docker\/(\d+)/.exec(String(server))?.[1] ?? 0)
