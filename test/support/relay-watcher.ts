// A client of the relay without a socket: keeps what it is sent, and can stop taking it.

import type { JobKey } from '../../control-plane/core/ports.ts'
import type { FrameBatch, FrameSink, Relay } from '../../control-plane/core/relay.ts'

export interface RelayWatcher {
  readonly frames: readonly Record<string, unknown>[]
  /** Of everything but state frames, in the order of arrival; a gap counts with its end. */
  readonly seqs: readonly number[]
  readonly states: readonly Record<string, unknown>[]
  /** Close code, null while open. */
  readonly closed: number | null
  readonly unsentBytes: number
  readonly mostUnsentBytes: number
  /** From now on nothing leaves the buffer by itself. */
  stall(): void
  /** Takes some out of the buffer of a stalled client. */
  take(bytes: number): void
  /** When the frame with this seq came, by performance.now(). */
  arrival(seq: number): Promise<number>
  detach(): void
}

export function attach(relay: Relay, key: JobKey, after: number): RelayWatcher {
  const frames: Record<string, unknown>[] = []
  const seqs: number[] = []
  const states: Record<string, unknown>[] = []
  const arrivals = new Map<number, (atMs: number) => void>()
  let closed: number | null = null
  let stalled = false
  let unsentBytes = 0
  let mostUnsentBytes = 0
  const sink: FrameSink = {
    send(batch: FrameBatch) {
      if (closed !== null) throw new Error('A frame came after the close')
      const text = batch.text()
      if (stalled) unsentBytes += text.length
      mostUnsentBytes = Math.max(mostUnsentBytes, unsentBytes)
      const message = JSON.parse(text) as Record<string, unknown> | Record<string, unknown>[]
      for (const [index, frame] of (Array.isArray(message) ? message : [message]).entries()) {
        const seq = batch.frames[index]?.seq ?? null
        frames.push(frame)
        if (seq === null) states.push(frame)
        else seqs.push(seq)
        if (seq !== null) arrivals.get(seq)?.(performance.now())
      }
    },
    bufferedBytes: () => unsentBytes,
    close(code) {
      if (closed !== null) throw new Error('It was closed twice')
      closed = code
    },
  }
  const detach = relay.attach(key, { after, sink, stateFrames: true })
  return {
    frames,
    seqs,
    states,
    get closed() {
      return closed
    },
    get unsentBytes() {
      return unsentBytes
    },
    get mostUnsentBytes() {
      return mostUnsentBytes
    },
    stall: () => void (stalled = true),
    take: (bytes) => void (unsentBytes = Math.max(0, unsentBytes - bytes)),
    arrival: (seq) => new Promise((resolve) => void arrivals.set(seq, resolve)),
    detach,
  }
}
