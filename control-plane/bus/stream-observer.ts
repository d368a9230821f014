// Notices that the stream UPDATES is another one than before (its store was wiped) or ends before a place that was seen (it
// was put back), and says so in the log; /metrics counts it. What was stored is gone then: agents store again what they
// still have, and clients get `gap` for the rest. The database being away costs nothing but the notice.
import type { Log } from '../core/ports.ts'
import type { StreamLedger, StreamSeen } from '../core/stream-ledger.ts'

export interface StreamObserver {
  /** Returns at once; one look at a time. */
  look(read: () => Promise<StreamSeen>): void
}

export function createStreamObserver(ledger: StreamLedger, log: Log): StreamObserver {
  let busy = false
  const compare = async (read: () => Promise<StreamSeen>): Promise<void> => {
    try {
      const before = await ledger.lastStream()
      const now = await read()
      const change = await ledger.noteStream(before, now)
      if (change === null || change === 'first') return
      log.warn('The stream of updates is not the one that it was: what it held is gone, clients are told of gaps', {
        change,
        created: now.created,
        last_seq: now.lastSeq,
        known_created: before?.created,
        known_last_seq: before?.lastSeq,
      })
    } catch {
      // The database or NATS is away; both are told where they are needed, and the next look comes in seconds.
    } finally {
      busy = false
    }
  }
  return {
    look(read) {
      if (busy) return
      busy = true
      void compare(read)
    },
  }
}
