// Portable: Web APIs only.
//
// Follows one job over as many connections as it takes: every update once, in order, without a hole, from a cursor to the
// terminal update. What the server says is checked: a repeated update is dropped; a hole that no `gap` announced makes us
// ask again from the cursor, and if it is still there after that it is handed on as a `gap`, so that loss is said and
// never hidden. It ends with the terminal update, with the signal, or with an ApiError that trying again cannot help.
import { backoffMs } from '../backoff.ts'
import { attemptOf, nOf, seqOf } from '../position.ts'
import { endSeq, isGap, isStateFrame, isTerminalUpdate, type Frame, type Gap } from '../update.ts'
import { ApiError } from './api-error.ts'
import { isConnectionEnd, openConnection, type Connection, type ConnectionEnd } from './connection.ts'
import { pause } from './pause.ts'

export interface UpdatesOptions {
  /** Cursor: everything after this seq; 0, the default, is from the beginning. */
  readonly after?: number | undefined
  /** Ends the iteration by throwing its reason. */
  readonly signal?: AbortSignal | undefined
  /** Hand out snapshots of the job's row too; true unless told. */
  readonly states?: boolean | undefined
  /** Told before each new try after a connection broke: which try it is and how long it waits. */
  readonly onReconnect?:
    | ((info: { readonly tries: number; readonly waitMs: number; readonly reason: string }) => void)
    | undefined
}

export interface FollowOptions extends UpdatesOptions {
  readonly streamUrl: string
  readonly token?: string | undefined
  readonly WebSocket: typeof globalThis.WebSocket
  readonly maxQueuedChars?: number | undefined
  readonly idleMs?: number | undefined
}

/** A server that is back finds its readers back within five seconds. */
const backoff = { firstMs: 250, maxMs: 4_000 }
/** A connection that lived this long was a good one: the next failure starts from the shortest delay. */
const goodUptimeMs = 5_000
/** How often the same hole is asked for again before it counts as lost. */
const holeTries = 3
/** The server's word for a reader that is behind (PROTOCOL 4). */
const tooSlow = 4408

export async function* followUpdates(options: FollowOptions): AsyncGenerator<Frame, void, void> {
  const { signal } = options
  const position = createPosition(options.after ?? 0)
  let tries = 0
  // Bounded by the caller: ends at the terminal update, by `return()` or by the signal.
  for (;;) {
    signal?.throwIfAborted()
    const from = position.cursor()
    const connection = connect(options, from)
    const stop = (): void => connection.close()
    signal?.addEventListener('abort', stop, { once: true })
    try {
      const end = yield* readConnection(connection, position, options)
      if (end === 'terminal') return
      signal?.throwIfAborted()
      if (isOver(end)) return
      if (isNoFailure(end, position.cursor() > from)) continue
      tries = connection.upMs() >= goodUptimeMs ? 0 : tries
      const waitMs = backoffMs(tries, backoff, Math.random())
      tries += 1
      options.onReconnect?.({ tries, waitMs, reason: reasonOf(end) })
      await pause(waitMs, signal)
    } finally {
      signal?.removeEventListener('abort', stop)
      connection.close()
    }
  }
}

function connect(options: FollowOptions, cursor: number): Connection {
  return openConnection({
    url: `${options.streamUrl}?after=${cursor}`,
    token: options.token,
    WebSocket: options.WebSocket,
    maxQueuedChars: options.maxQueuedChars ?? 8 * 2 ** 20,
    idleMs: options.idleMs ?? 75_000,
  })
}

/** Yields what is new on one connection; returns how it went on to end. */
async function* readConnection(
  connection: Connection,
  position: Position,
  options: FollowOptions,
): AsyncGenerator<Frame, ConnectionEnd | 'terminal' | 'hole', void> {
  for (;;) {
    const frame = await connection.next()
    if (isConnectionEnd(frame)) return frame
    if (options.signal?.aborted) return { kind: 'closed', code: 1000, reason: 'aborted' }
    if (isStateFrame(frame)) {
      if (options.states ?? true) yield frame
      continue
    }
    const verdict = position.judge(frame)
    if (verdict === 'repeated') continue
    if (verdict === 'hole') return 'hole'
    if (verdict !== 'next') yield verdict
    position.advance(frame)
    yield frame
    if (isTerminalUpdate(frame)) return 'terminal'
  }
}

interface Position {
  cursor(): number
  /** A Gap: a hole that stayed although it was asked for again. */
  judge(frame: Frame): 'next' | 'repeated' | 'hole' | Gap
  advance(frame: Frame): void
}

function createPosition(after: number): Position {
  let cursor = after
  let holesAtCursor = 0
  return {
    cursor: () => cursor,
    judge(frame) {
      const end = endSeq(frame)
      if (end === undefined || end <= cursor) return 'repeated'
      const start = isGap(frame) ? frame.from : end
      if (isTerminalUpdate(frame) || start <= cursor + 1) return 'next'
      const sameAttempt = attemptOf(start) === attemptOf(cursor)
      const expected = sameAttempt ? cursor + 1 : seqOf(attemptOf(start), 1)
      if (start === expected || nOf(start) === 0) return 'next'
      holesAtCursor += 1
      return holesAtCursor < holeTries ? 'hole' : { type: 'gap', from: expected, to: start - 1 }
    },
    advance(frame) {
      cursor = endSeq(frame) ?? cursor
      holesAtCursor = 0
    },
  }
}

/** True when the stream is complete; throws when trying again cannot help (PROTOCOL 4 has the codes). */
function isOver(end: ConnectionEnd | 'hole'): boolean {
  if (end === 'hole' || end.kind !== 'closed') return false
  if (end.code === 1000) return true
  const detail = end.reason === '' ? undefined : end.reason
  if (end.code === 1008) throw new ApiError(detail ?? 'The key was refused', { code: 'unauthenticated', status: 401 })
  if (end.code === 4400) throw new ApiError(detail ?? 'The cursor was refused', { code: 'bad_request', status: 400 })
  if (end.code === 4404) throw new ApiError(detail ?? 'There is no such job', { code: 'not_found', status: 404 })
  return false
}

/** A silent job and a slow reader, whichever side noticed: no delay, no message. Without progress it is a failure after all. */
function isNoFailure(end: ConnectionEnd | 'hole', progressed: boolean): boolean {
  if (end === 'hole') return false
  if (end.kind === 'idle') return true
  return progressed && (end.kind === 'full' || (end.kind === 'closed' && end.code === tooSlow))
}

function reasonOf(end: ConnectionEnd | 'hole'): string {
  if (end === 'hole') return 'updates were missing'
  if (end.kind === 'garbled') return 'the server sent what is no frame'
  if (end.kind !== 'closed') return end.kind
  return end.reason === '' ? `the connection broke (${end.code})` : `${end.reason} (${end.code})`
}
