// The one event loop of a schedule, on virtual time. Between two events every microtask is done, so a process never sees
// half of another one's step, and the same seed gives the same order.
//
// Whose turn it is (`current`) is known all the time: an event belongs to a process, and whatever its callback starts
// belongs to the same one. So a crash is simply the end of a process's events, a SIGSTOP holds them back, and a suspended
// machine finds its timers later by as long as it slept.
import type { Writable } from '../../shared/writable.ts'

export interface Host {
  readonly name: string
  /** What its wall clock is wrong by. */
  wallOffsetMs: number
  /** How long it was suspended, all together, up to now. */
  suspendedMs: number
  suspendedSinceMs: number | null
}

export interface Proc {
  readonly name: string
  readonly host: Host
  alive: boolean
  paused: boolean
  pausedSinceMs: number
  /** Events that came due while it was paused. */
  held: LoopEvent[]
  /** Called once when it dies. */
  readonly onDeath: Set<() => void>
}

export interface LoopEvent {
  atMs: number
  readonly order: number
  readonly owner: Proc
  readonly run: () => void
  readonly isTimer: boolean
  /** Of its host when it was made. */
  suspendedMs: number
  cancelled: boolean
}

export interface Loop {
  readonly nowMs: number
  /** Whose callback runs now. */
  readonly current: Proc
  readonly events: number
  /** Something of the world happens to `owner`. */
  at(owner: Proc, delayMs: number, run: () => void): LoopEvent
  /** A timer of the current process. */
  timer(delayMs: number, run: () => void): LoopEvent
  /** Runs until `isDone`, or until nothing is left to happen. */
  run(isDone: () => boolean): Promise<void>
  pause(proc: Proc): void
  resume(proc: Proc): void
  kill(proc: Proc): void
  suspend(host: Host): void
  wake(host: Host): void
}

export interface LoopOptions {
  readonly root: Proc
  readonly onError: (error: unknown, proc: Proc) => void
}

/**
 * What Node does after each callback of its own loop: all ticks, all microtasks, then its judgement of rejections that
 * nobody handles. Without a documented name; to ask for a tick after each event comes to the same and costs more.
 */
const { _tickCallback: drain } = process as unknown as { readonly _tickCallback: () => void }

export function createHost(name: string): Host {
  return { name, wallOffsetMs: 0, suspendedMs: 0, suspendedSinceMs: null }
}

export function createProc(name: string, host: Host): Proc {
  return { name, host, alive: true, paused: false, pausedSinceMs: 0, held: [], onDeath: new Set() }
}

export function createLoop({ root, onError }: LoopOptions): Loop {
  const heap = createHeap()
  let order = 0

  const push = (owner: Proc, delayMs: number, run: () => void, isTimer: boolean): LoopEvent => {
    const atMs = loop.nowMs + Math.max(0, delayMs)
    order += 1
    const event = { atMs, order, owner, run, isTimer, suspendedMs: owner.host.suspendedMs, cancelled: false }
    heap.push(event)
    return event
  }
  const again = (event: LoopEvent, atMs: number): void => {
    event.atMs = atMs
    heap.push(event)
  }
  /** What a timer's machine has slept since it was set, or since this was asked last. */
  const takeSleep = (event: LoopEvent): number => {
    const sleptMs = event.isTimer ? event.owner.host.suspendedMs - event.suspendedMs : 0
    event.suspendedMs = event.owner.host.suspendedMs
    return sleptMs
  }
  /** False where the event has to wait, or is nobody's any more. */
  const isDue = (event: LoopEvent): boolean => {
    const { owner } = event
    if (event.cancelled || !owner.alive) return false
    if (owner.paused || owner.host.suspendedSinceMs !== null) {
      owner.held.push(event)
      return false
    }
    const dueMs = event.atMs + takeSleep(event)
    if (dueMs <= loop.nowMs) return true
    again(event, dueMs)
    return false
  }
  const release = (proc: Proc): void => {
    if (proc.paused || proc.host.suspendedSinceMs !== null) return
    const { held } = proc
    proc.held = []
    for (const event of held) again(event, Math.max(event.atMs + takeSleep(event), loop.nowMs))
  }
  const step = (isDone: () => boolean): boolean => {
    for (;;) {
      if (isDone()) return false
      const event = heap.pop()
      if (!event) return false
      loop.nowMs = Math.max(loop.nowMs, event.atMs)
      if (!isDue(event)) continue
      loop.current = event.owner
      loop.events += 1
      try {
        event.run()
      } catch (error) {
        onError(error, event.owner)
      }
      return true
    }
  }
  const known = new Set<Proc>()
  const loop: Writable<Loop> = {
    nowMs: 0,
    current: root,
    events: 0,
    at(owner, delayMs, run) {
      known.add(owner)
      return push(owner, delayMs, run, false)
    },
    timer: (delayMs, run) => push(loop.current, delayMs, run, true),
    run: (isDone) =>
      new Promise((resolve) => {
        // In a turn of Node's own: from within a microtask no other one can be run.
        setImmediate(() => {
          while (step(isDone)) drain()
          resolve()
        })
      }),
    pause(proc) {
      proc.paused = true
      proc.pausedSinceMs = loop.nowMs
    },
    resume(proc) {
      proc.paused = false
      release(proc)
    },
    kill(proc) {
      if (!proc.alive) return
      proc.alive = false
      proc.held = []
      known.delete(proc)
      for (const callback of proc.onDeath) callback()
      proc.onDeath.clear()
    },
    suspend(host) {
      host.suspendedSinceMs ??= loop.nowMs
    },
    wake(host) {
      if (host.suspendedSinceMs === null) return
      host.suspendedMs += loop.nowMs - host.suspendedSinceMs
      host.suspendedSinceMs = null
      for (const proc of known) if (proc.host === host) release(proc)
    },
  }
  return loop
}

interface Heap {
  push(event: LoopEvent): void
  pop(): LoopEvent | undefined
}

function createHeap(): Heap {
  const heap: LoopEvent[] = []
  const isBefore = (a: LoopEvent, b: LoopEvent): boolean => a.atMs < b.atMs || (a.atMs === b.atMs && a.order < b.order)
  return {
    push(event) {
      let at = heap.length
      while (at > 0) {
        const above = (at - 1) >> 1
        const parent = heap[above] as LoopEvent
        if (!isBefore(event, parent)) break
        heap[at] = parent
        at = above
      }
      heap[at] = event
    },
    pop() {
      const top = heap[0]
      const last = heap.pop()
      if (!top || !last || heap.length === 0) return top
      let at = 0
      for (let child = 1; child < heap.length; child = 2 * at + 1) {
        const right = child + 1
        if (right < heap.length && isBefore(heap[right] as LoopEvent, heap[child] as LoopEvent)) child = right
        const least = heap[child] as LoopEvent
        if (!isBefore(least, last)) break
        heap[at] = least
        at = child
      }
      heap[at] = last
      return top
    },
  }
}
