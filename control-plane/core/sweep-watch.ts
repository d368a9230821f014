// Portable: Web APIs only.
//
// Whether this process has watched for long enough to hold an agent's silence against it. The database knows when anybody
// swept last (blindness, sweep.ts), and that is not enough: after an absence of two to four seconds its last sweep is not
// old, while an agent far away has less than the pause between two of its tries left of its lease. So a process that has
// just begun, or could not sweep for a while, lets no lease run out until agents had the time to be heard again. Others
// that were there all the time judge meanwhile.

export interface SweepWatch {
  /** Of a sweep that begins now. */
  mayJudge(nowMs: number): boolean
  /** A sweep that began then has looked. */
  swept(beganMs: number): void
}

/**
 * Sweeps of a process that is well begin two seconds apart, three where a tick came a little early, and later on a busy
 * machine. With three seconds as the bound such a process would begin to watch again and again, and let no lease run out.
 */
const APART_MS = 4_000
/** An agent tries again every two seconds; the rest is its way here. */
const HEARD_AGAIN_MS = 3_000

export function createSweepWatch(): SweepWatch {
  let lastMs = Number.NEGATIVE_INFINITY
  let sinceMs = Number.POSITIVE_INFINITY
  return {
    mayJudge: (nowMs) => nowMs - lastMs <= APART_MS && nowMs - sinceMs >= HEARD_AGAIN_MS,
    swept(beganMs) {
      if (beganMs - lastMs > APART_MS) sinceMs = beganMs
      lastMs = beganMs
    },
  }
}

/** Where processes live for one request only, there is none that could have watched: whoever sweeps judges. */
export const JUDGES_AT_ONCE: SweepWatch = { mayJudge: () => true, swept: () => undefined }
