// Portable: Web APIs only.
//
// "Not more often than": for work that many may ask for and that one does for all. It holds a time and nothing else, so
// requests of one workerd isolate may share it although they may share no connection.

export interface Pace {
  /** True at most once in the interval; the caller then does the work. */
  due(nowMs: number): boolean
}

export function createPace(everyMs: number): Pace {
  let lastMs = Number.NEGATIVE_INFINITY
  return {
    due(nowMs) {
      // A wall clock that was set back must not silence the work: judge the distance, whatever its sign.
      if (Math.abs(nowMs - lastMs) < everyMs) return false
      lastMs = nowMs
      return true
    },
  }
}
