// What waits to be published, numbered in the order in which it came. Bounded: it has no room beyond WAITING_BYTES, and
// room again when half of that is stored, so that a feeder that waits is not woken for every single update.
import type { UpdateBody } from '../shared/update-mapper.ts'
import { takeUnit, type PublishUnit, type UpdatePosition, type WaitingUpdate } from './publish-unit.ts'

/** Lines of each stream up to and including an update. */
export interface LinesAfter {
  readonly stdout: number
  readonly stderr: number
}

export interface PublishQueue {
  hasRoom(this: void): boolean
  hasRoomAgain(this: void): boolean
  /** Updates of one line, or none of a line; `after` is the position behind the last of them. */
  add(updates: readonly UpdateBody[], after: LinesAfter): void
  /** As much as goes together, or null when nothing waits. */
  take(session: string): PublishUnit | null
  markStored(unit: PublishUnit): void
  stored(this: void): UpdatePosition
  nextN(this: void): number
  /** Something was added or stored. */
  readonly changed: Signalling
}

const WAITING_BYTES = 4 << 20
const ROOM_AGAIN_BYTES = 2 << 20

export function createPublishQueue(start: UpdatePosition): PublishQueue {
  const waiting: WaitingUpdate[] = []
  const changed = createSignalling()
  let waitingBytes = 0
  let taken = start
  let stored = start
  let nextN = start.n + 1
  let last: LinesAfter = { stdout: start.stdout_lines, stderr: start.stderr_lines }
  return {
    changed,
    hasRoom: () => waitingBytes < WAITING_BYTES,
    hasRoomAgain: () => waitingBytes <= ROOM_AGAIN_BYTES,
    add(updates, after) {
      for (const [index, update] of updates.entries()) {
        const json = JSON.stringify(update)
        const sizeBytes = Buffer.byteLength(json)
        // A line counts as published with the last of its updates.
        waiting.push({ json, sizeBytes, ...(index === updates.length - 1 ? after : last) })
        waitingBytes += sizeBytes
      }
      nextN += updates.length
      last = after
      changed.fire()
    },
    take(session) {
      if (waiting.length === 0) return null
      const unit = takeUnit(waiting, taken, session)
      taken = unit.after
      return unit
    },
    markStored(unit) {
      stored = unit.after
      waitingBytes -= unit.sizeBytes
      changed.fire()
    },
    stored: () => stored,
    nextN: () => nextN,
  }
}

export interface Signalling {
  fire(): void
  /** Until the next `fire`, or until the signal aborts. */
  wait(signal?: AbortSignal): Promise<void>
}

function createSignalling(): Signalling {
  let waiters = new Set<() => void>()
  return {
    fire() {
      const called = waiters
      waiters = new Set()
      for (const waiter of called) waiter()
    },
    wait: (signal) =>
      new Promise((resolve) => {
        const done = (): void => {
          waiters.delete(done)
          signal?.removeEventListener('abort', done)
          resolve()
        }
        waiters.add(done)
        signal?.addEventListener('abort', done, { once: true })
      }),
  }
}
