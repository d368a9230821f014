// At most so many at a time; the others wait in order. Container starts use it: more of them at once than there are
// cores only makes each one slower.

export interface Semaphore {
  /** Waits for a place and resolves with the function that gives it back; rejects when the signal aborts first. */
  acquire(signal: AbortSignal): Promise<() => void>
}

export function createSemaphore(places: number): Semaphore {
  let free = places
  const waiting: (() => void)[] = []
  const release = (): void => {
    const next = waiting.shift()
    if (next) next()
    else free += 1
  }
  const once = (give: () => void): (() => void) => {
    let given = false
    return () => {
      if (given) return
      given = true
      give()
    }
  }
  return {
    async acquire(signal) {
      signal.throwIfAborted()
      if (free > 0) {
        free -= 1
        return once(release)
      }
      await new Promise<void>((resolve, reject) => {
        const enter = (): void => {
          signal.removeEventListener('abort', leave)
          resolve()
        }
        const leave = (): void => {
          waiting.splice(waiting.indexOf(enter), 1)
          reject(signal.reason instanceof Error ? signal.reason : new Error('aborted'))
        }
        waiting.push(enter)
        signal.addEventListener('abort', leave, { once: true })
      })
      return once(release)
    },
  }
}
