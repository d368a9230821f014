// Portable: Web APIs only.
//
// One client of a job: its place, its sink, and the pace at which it can be served while it catches up. A client that
// does not take what it is sent costs the server a bounded buffer and then its connection (4408); it resumes from its
// cursor.
import type { Writable } from '../../shared/writable.ts'
import type { Clock } from './ports.ts'
import { framesAfter } from './relay-frames.ts'
import type { AttachOptions, FrameBatch, FrameSink } from './relay.ts'
import { sleep } from './relay-wake.ts'

export interface RelayClient {
  /** Seq of the last frame that was handed to the sink, or the cursor. */
  readonly position: number
  /** Aborts when the client left or was closed. */
  readonly signal: AbortSignal
  /** Hands on what lies behind its position. */
  send(batch: FrameBatch): void
  /** For a client that follows live: closed instead when it has too much unsent already. */
  sendLive(batch: FrameBatch): void
  /** Sends a state frame unless it is the same as the last one, or this client wants none. */
  sendState(batch: FrameBatch): void
  /** Waits until most of what was sent is gone; false, and closed, when it makes no progress. */
  keepsUp(): Promise<boolean>
  close(code: number, reason: string): void
  /** The client left by itself. */
  leave(): void
}

/** Unsent before a further frame is queued. */
export const MAX_UNSENT_BYTES = 1 << 20
/** A client that catches up is sent more below this; then it may also follow live, with room to spare. */
const CAUGHT_UP_BYTES = 128 << 10
const NO_PROGRESS_MS = 10_000
const LOOK_EVERY_MS = 10
const TOO_SLOW = 'too slow: resume from your cursor'

export function createRelayClient({ after, sink, stateFrames }: AttachOptions, clock: Clock): RelayClient {
  const ending = new AbortController()
  let lastState = ''
  const close = (code: number, reason: string): void => {
    if (ending.signal.aborted) return
    ending.abort()
    sink.close(code, reason)
  }
  const send = (batch: FrameBatch): void => {
    const due = framesAfter(batch, client.position)
    if (!due || ending.signal.aborted) return
    sink.send(due)
    client.position = due.frames.at(-1)?.seq ?? client.position
  }
  const client: Writable<RelayClient> = {
    position: after,
    signal: ending.signal,
    send,
    sendLive(batch) {
      if (sink.bufferedBytes() > MAX_UNSENT_BYTES) close(4408, TOO_SLOW)
      send(batch)
    },
    sendState(batch) {
      const text = batch.text()
      if (!stateFrames || text === lastState || ending.signal.aborted) return
      // Snapshots may be skipped: the next one says all.
      if (sink.bufferedBytes() > MAX_UNSENT_BYTES) return
      lastState = text
      sink.send(batch)
    },
    async keepsUp() {
      const kept = await drained(sink, clock, ending.signal)
      if (!kept) close(4408, TOO_SLOW)
      return kept && !ending.signal.aborted
    },
    close,
    leave: () => ending.abort(),
  }
  return client
}

/** False when the client takes nothing for NO_PROGRESS_MS; true when it took enough, or left. */
async function drained(sink: FrameSink, clock: Clock, signal: AbortSignal): Promise<boolean> {
  let least = Number.POSITIVE_INFINITY
  let progressMs = clock.nowMs()
  for (let unsent = sink.bufferedBytes(); unsent > CAUGHT_UP_BYTES && !signal.aborted; unsent = sink.bufferedBytes()) {
    // There is no telling when it will take more.
    if (unsent === Number.POSITIVE_INFINITY) return false
    if (unsent < least) {
      least = unsent
      progressMs = clock.nowMs()
    }
    if (clock.nowMs() - progressMs > NO_PROGRESS_MS) return false
    await sleep(clock, LOOK_EVERY_MS, signal)
  }
  return true
}
