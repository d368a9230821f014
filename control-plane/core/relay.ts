// Portable: Web APIs only.
//
// The relay as http/ sees it: it follows one job for one client. One reader per watched job is shared by its clients;
// frames are serialised once and handed over once per tick. What a client cannot take in time costs it its connection.
import type { JobKey } from './ports.ts'

export interface SerialFrame {
  readonly json: string
  /** Null for a state frame. */
  readonly seq: number | null
  readonly kind: 'update' | 'gap' | 'state' | 'terminal'
}

/** The frames of one tick, made once for all clients of a job. */
export interface FrameBatch {
  readonly frames: readonly SerialFrame[]
  /** The WebSocket message: the frame itself, or one JSON array when several are due. Built once. */
  text(): string
}

/** Where a client's frames go. `send` never blocks; `bufferedBytes` says what the client has not taken yet, Infinity where it is sent no more. */
export interface FrameSink {
  send(batch: FrameBatch): void
  bufferedBytes(): number
  /** Called once, by the relay. WebSocket codes of PROTOCOL 4: 1000, 1011, 1013, 4400, 4404, 4408. */
  close(code: number, reason: string): void
}

export interface AttachOptions {
  /** Cursor: everything after it is sent. */
  readonly after: number
  readonly sink: FrameSink
  /** State frames go to WebSocket clients only: history, SSE and NDJSON leave them out. */
  readonly stateFrames: boolean
}

export interface History {
  readonly updates: readonly string[]
  readonly cursor: number
  /** The terminal update was among them (or lies at or before the cursor). */
  readonly done: boolean
}

export interface Relay {
  /** Follows a job. Errors become close codes: nothing is thrown. Returns detach, which is idempotent. */
  attach(key: JobKey, options: AttachOptions): () => void
  /** What is stored now after the cursor, at most `limit` frames as JSON texts. Throws AppError not_found, bad_request (bad cursor), unavailable. */
  history(key: JobKey, after: number, limit: number, signal: AbortSignal): Promise<History>
  /** Clients being served now. */
  clientCount(): number
  close(): Promise<void>
}
