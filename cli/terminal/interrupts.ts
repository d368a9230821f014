// Ctrl-C rules: each press is one step further; two within 500 ms are one, because npm forwards the signal that the
// terminal has already sent to us. SIGTERM counts as a press (CI cancels that way). SIGHUP keeps its default: the
// terminal is gone, we end, the job goes on.

const sameMs = 500

export interface Interrupts {
  /** Gives the signals back to their defaults. */
  close(): void
}

/** Calls the steps one after the other, the last one again for every further press. */
export function watchInterrupts(steps: readonly (() => void)[], source: NodeJS.EventEmitter = process): Interrupts {
  let presses = 0
  let lastMs = Number.NEGATIVE_INFINITY
  const onSignal = (): void => {
    const nowMs = performance.now()
    if (nowMs - lastMs < sameMs) return
    lastMs = nowMs
    steps[Math.min(presses, steps.length - 1)]?.()
    presses += 1
  }
  for (const name of ['SIGINT', 'SIGTERM']) source.on(name, onSignal)
  return {
    close() {
      for (const name of ['SIGINT', 'SIGTERM']) source.off(name, onSignal)
    },
  }
}

/** A signal that the first press aborts, for commands that only watch; the second ends the process. */
export function interruptSignal(source: NodeJS.EventEmitter = process): AbortSignal {
  const controller = new AbortController()
  watchInterrupts([() => controller.abort(new Interrupted()), () => process.exit(130)], source)
  return controller.signal
}

/** The reason of an abort by Ctrl-C. */
export class Interrupted extends Error {
  constructor() {
    super('Interrupted')
    this.name = 'Interrupted'
  }
}
