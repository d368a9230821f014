// What may happen to an attempt from outside, in one place that every step of its run looks at. Two separate wishes:
//   end     the job should end (cancel, time-out, a limit): before its container runs the steps give up, afterwards the
//           container is stopped. The first reason stays; a later wish may only shorten the grace.
//   let go  this process has nothing to do with it any more. Dropped: it does not count, container and all are removed.
//           Detached: the process goes and leaves the container to the next one. Rewound: it is taken over once more.
import type { KillReason } from '../shared/outcome.ts'
import type { Writable } from '../shared/writable.ts'

export class JobDropped extends Error {
  override readonly name = 'JobDropped'
}

export class JobDetached extends Error {
  override readonly name = 'JobDetached'
}

/** More is stored than the grant said: the output has to be read again from there. */
export class JobRewound extends Error {
  override readonly name = 'JobRewound'
}

/** Thrown by steps before the container's start when the job should end. */
export class JobEnding extends Error {
  override readonly name = 'JobEnding'
}

export interface JobControl {
  readonly ending: AbortSignal
  readonly letGo: AbortSignal
  /** Either of both. */
  readonly anyStop: AbortSignal
  readonly reason: KillReason | null
  /** By performance.now(): when the grace is over. */
  readonly killAtMs: number
  end(reason: KillReason, graceSeconds: number): void
  /** Called when the grace was shortened. */
  onShortened(callback: () => void): void
  drop(): void
  detach(): void
  rewind(): void
}

export function createJobControl(): JobControl {
  const ending = new AbortController()
  const letGo = new AbortController()
  const anyStop = AbortSignal.any([ending.signal, letGo.signal])
  let shortened: () => void = () => undefined
  const control: Writable<JobControl> = {
    ending: ending.signal,
    letGo: letGo.signal,
    anyStop,
    reason: null,
    killAtMs: Number.POSITIVE_INFINITY,
    end(why, graceSeconds) {
      control.reason ??= why
      const wanted = performance.now() + graceSeconds * 1000
      if (wanted >= control.killAtMs) return
      control.killAtMs = wanted
      if (ending.signal.aborted) shortened()
      else ending.abort(new JobEnding(`The job should end: ${why}.`))
    },
    onShortened(callback) {
      shortened = callback
    },
    drop: () => letGo.abort(new JobDropped('The attempt does not count any more.')),
    detach: () => letGo.abort(new JobDetached('The agent process ends; the container stays.')),
    rewind: () => letGo.abort(new JobRewound('The stored updates end elsewhere than the grant said.')),
  }
  return control
}

/** Whether this process leaves the container as it is: to the next one, or to itself once more. */
export function leavesContainer(error: unknown): boolean {
  return error instanceof JobDetached || error instanceof JobRewound
}

/** Rejects with the signal's reason, for racing. Never resolves. */
export function rejection(signal: AbortSignal): Promise<never> {
  return new Promise((_, reject) => {
    const fail = (): void => reject(signal.reason instanceof Error ? signal.reason : new JobDropped('let go'))
    if (signal.aborted) fail()
    else signal.addEventListener('abort', fail, { once: true })
  })
}
