// Keeps what the agent reports of its machine fresh: read again each minute and after a pull, sent with the next
// heartbeat where it changed, and sent again until a beat that carried it was answered.
import type { Capacity, Posture } from '../shared/agent-protocol.ts'
import { sentenceOf, type AgentLog } from './agent-log.ts'
import type { Machine } from './capacity.ts'
import { aborted } from './job-stopper.ts'

export interface MachineWatch {
  /** What the next beat should carry. */
  news(): { readonly capacity?: Capacity; readonly posture?: Posture }
  /** The last beat was answered. */
  told(): void
  /** Look again soon. */
  refresh(): void
}

const EVERY_MS = 60_000

export function watchMachine(
  first: Machine,
  read: () => Promise<Machine>,
  options: { readonly log: AgentLog; readonly signal: AbortSignal },
): MachineWatch {
  let known = first
  let untold: Machine | null = first
  let sent: Machine | null = null
  let reading = false
  const look = async (): Promise<void> => {
    if (reading) return
    reading = true
    try {
      const next = await read()
      if (JSON.stringify(next.capacity) !== JSON.stringify(known.capacity)) untold = next
      known = next
    } catch (error) {
      if (!options.signal.aborted) options.log.warn('The machine could not be looked at.', { error: sentenceOf(error) })
    } finally {
      reading = false
    }
  }
  // `look` catches its own failures.
  const timer = setInterval(() => void look(), EVERY_MS)
  timer.unref()
  void aborted(options.signal).then(() => clearInterval(timer))
  return {
    news() {
      sent = untold
      return untold ? { capacity: untold.capacity, posture: untold.posture } : {}
    },
    told() {
      if (sent === untold) untold = null
    },
    refresh: () => void look(),
  }
}
