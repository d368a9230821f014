// AbortController and AbortSignal for the simulation: the part that our code uses, without Node's weak references and
// event objects. A composite signal listens to its sources only while somebody listens to it, and a time-out sets a timer
// only then, so a call that is over leaves nothing behind.

type Listener = () => void

export interface AbortTimers {
  now(): number
  set(ms: number, callback: () => void): object
  clear(timer: object): void
}

let timers: AbortTimers

const NONE: readonly SimAbortSignal[] = []

/** Made once: they carry no stack that anybody reads. */
const ABORTED = new DOMException('This operation was aborted', 'AbortError')
const TIMED_OUT = new DOMException('The operation was aborted due to timeout', 'TimeoutError')

export function useAbortTimers(given: AbortTimers): void {
  timers = given
}

export class SimAbortSignal {
  #aborted = false
  #reason: unknown = undefined
  #listeners: Listener[] = []
  /** Composites that are listened to: told after our own listeners. Most signals never have one. */
  #dependents: readonly SimAbortSignal[] = NONE
  #sources: readonly SimAbortSignal[] = NONE
  #deadlineMs: number | null = null
  #timer: object | null = null

  static any(signals: readonly SimAbortSignal[]): SimAbortSignal {
    const made = new SimAbortSignal()
    const aborted = signals.find((signal) => signal.aborted)
    if (aborted) made.fire(aborted.reason)
    else made.#sources = signals
    return made
  }

  static timeout(ms: number): SimAbortSignal {
    const made = new SimAbortSignal()
    made.#deadlineMs = timers.now() + ms
    return made
  }

  static abort(reason?: unknown): SimAbortSignal {
    const made = new SimAbortSignal()
    made.fire(reason ?? ABORTED)
    return made
  }

  get aborted(): boolean {
    if (this.#aborted) return true
    if (this.#deadlineMs !== null && timers.now() >= this.#deadlineMs) this.fire(TIMED_OUT)
    // Asked at every turn of every loop: by hand, without a closure.
    for (let at = 0; at < this.#sources.length && !this.#aborted; at += 1) {
      const source = this.#sources[at] as SimAbortSignal
      if (source.aborted) this.fire(source.reason)
    }
    return this.#aborted
  }

  get reason(): unknown {
    return this.aborted ? this.#reason : undefined
  }

  throwIfAborted(): void {
    if (this.aborted) throw this.#reason
  }

  addEventListener(_type: string, listener: Listener): void {
    if (this.#aborted || this.#listeners.includes(listener)) return
    const isWatched = this.#isWatched()
    this.#listeners.push(listener)
    if (!isWatched) this.#listen()
  }

  removeEventListener(_type: string, listener: Listener): void {
    const at = this.#listeners.indexOf(listener)
    if (at < 0) return
    this.#listeners.splice(at, 1)
    this.#rest()
  }

  fire(reason: unknown): void {
    if (this.#aborted) return
    this.#aborted = true
    this.#reason = reason
    // One that is taken away by an earlier one is not called.
    for (const listener of this.#listeners.slice()) if (this.#listeners.includes(listener)) listener()
    const dependents = this.#dependents
    this.#listeners = []
    this.#dependents = NONE
    this.#rest()
    this.#sources = NONE
    for (const dependent of dependents) dependent.fire(reason)
  }

  #isWatched(): boolean {
    return this.#listeners.length > 0 || this.#dependents.length > 0
  }

  #listen(): void {
    for (const source of this.#sources) {
      const isWatched = source.#isWatched()
      source.#dependents = [...source.#dependents, this]
      if (!isWatched) source.#listen()
    }
    if (this.#deadlineMs !== null && this.#timer === null)
      this.#timer = timers.set(this.#deadlineMs - timers.now(), () => this.fire(TIMED_OUT))
  }

  #rest(): void {
    if (this.#isWatched()) return
    for (const source of this.#sources) {
      source.#dependents = source.#dependents.filter((one) => one !== this)
      source.#rest()
    }
    if (this.#timer !== null) timers.clear(this.#timer)
    this.#timer = null
  }
}

export class SimAbortController {
  readonly signal = new SimAbortSignal()

  abort(reason?: unknown): void {
    this.signal.fire(reason ?? ABORTED)
  }
}
