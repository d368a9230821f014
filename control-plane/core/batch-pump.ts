// Portable: Web APIs only.
//
// Reads an attempt's messages in the background, so that its reader can look at the row and at the messages in turn.
// Bounded: it stops asking for more while HELD_BYTES wait here, and the bus then holds the rest back in NATS.
import type { Bus, StoredBatch } from './bus-port.ts'
import { createWake } from './relay-wake.ts'
import type { AttemptKey } from '../../shared/subjects.ts'

export interface BatchPump {
  /** What has come since the last call. Throws when the messages ended though nobody closed the pump. */
  take(): readonly StoredBatch[]
  close(): void
}

const HELD_BYTES = 1 << 20

export function pumpBatches(
  bus: Pick<Bus, 'readBatches'>,
  from: { readonly agent: string; readonly key: AttemptKey; readonly n: number },
  onNews: () => void,
): BatchPump {
  const closing = new AbortController()
  const room = createWake()
  let held: StoredBatch[] = []
  let heldBytes = 0
  let failure: unknown = null

  const run = async (): Promise<void> => {
    try {
      for await (const stored of bus.readBatches(from.agent, from.key, from.n, closing.signal)) {
        held.push(stored)
        heldBytes += stored.sizeBytes
        onNews()
        while (heldBytes > HELD_BYTES && !closing.signal.aborted) await room.wait(closing.signal)
        if (closing.signal.aborted) return
      }
      failure = new Error('The bus ended an attempt that was still being read')
    } catch (error) {
      failure = error ?? new Error('The bus failed')
    }
    onNews()
  }
  void run()
  return {
    take() {
      if (held.length === 0 && failure !== null && !closing.signal.aborted) throw failure
      const taken = held
      held = []
      heldBytes = 0
      room.fire()
      return taken
    },
    close: () => closing.abort(),
  }
}
