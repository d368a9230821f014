// Time and chance as the parts under test see them: in this process, from `installVirtualGlobals` on, setTimeout, Date,
// performance.now, AbortSignal, Math.random and crypto.getRandomValues belong to the schedule that runs. To be called
// before the parts are imported. What Node itself uses stays as it is.
import type { Loop, LoopEvent } from './loop.ts'
import type { Prng } from './prng.ts'
import { SimAbortController, SimAbortSignal, useAbortTimers } from './sim-abort.ts'

/** The schedule whose time it is. */
export interface Current {
  readonly loop: Loop
  readonly random: Prng
  /** What names are made of: of its own, so that one name more changes nothing else. */
  readonly nameRandom: Prng
}

/** Where virtual time begins: 2027-01-15. */
export const EPOCH_MS = 1_800_000_000_000

let current: Current

export function useSchedule(schedule: Current): void {
  current = schedule
}

/** The wall clock of the process whose turn it is. */
function wallMs(): number {
  const { loop } = current
  return EPOCH_MS + Math.floor(loop.nowMs) + loop.current.host.wallOffsetMs
}

/** Its monotonic clock, which stands still while the machine is suspended. */
function monotonicMs(): number {
  const { loop } = current
  return loop.nowMs - loop.current.host.suspendedMs
}

export function installVirtualGlobals(): void {
  const RealDate = Date
  class VirtualDate extends RealDate {
    constructor(...given: unknown[]) {
      if (given.length === 0) super(wallMs())
      else super(...(given as [number]))
    }
    static override now(): number {
      return wallMs()
    }
  }
  const set = (name: string, value: unknown): void => {
    Object.defineProperty(globalThis, name, { value, configurable: true, writable: true })
  }
  set('Date', VirtualDate)
  set('setTimeout', (callback: () => void, ms = 0) => timerOf(callback, ms))
  set('clearTimeout', cancel)
  set('setInterval', intervalOf)
  set('clearInterval', cancel)
  set('performance', { now: monotonicMs })
  set('AbortController', SimAbortController)
  set('AbortSignal', SimAbortSignal)
  useAbortTimers({
    now: monotonicMs,
    set: (ms, callback) => current.loop.timer(ms, callback),
    clear: cancel,
  })
  Math.random = () => current.random.next()
  Object.defineProperty(crypto, 'getRandomValues', { value: fillRandom, configurable: true })
  // Nobody reads stacks here, and making them costs more than most steps.
  Error.stackTraceLimit = 0
}

interface VirtualTimer {
  event: LoopEvent | null
  cancelled: boolean
  unref(): void
}

function timerOf(callback: () => void, ms: number): LoopEvent & { unref?: () => void } {
  return current.loop.timer(Math.max(1, ms), callback)
}

function intervalOf(callback: () => void, ms: number): VirtualTimer {
  const timer: VirtualTimer = { event: null, cancelled: false, unref: () => undefined }
  const again = (): void => {
    if (timer.cancelled) return
    timer.event = current.loop.timer(ms, again)
    callback()
  }
  timer.event = current.loop.timer(ms, again)
  return timer
}

function cancel(timer: object | null | undefined): void {
  if (!timer) return
  const known = timer as Partial<VirtualTimer>
  known.cancelled = true
  if (known.event) known.event.cancelled = true
}

function fillRandom<T extends Uint8Array>(array: T): T {
  for (let at = 0; at < array.length; at += 1) array[at] = current.nameRandom.int(256)
  return array
}
