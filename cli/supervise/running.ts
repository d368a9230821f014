// Whether a process still runs, by its id and its start time, because the kernel gives ids out again.
//
// On systems without /proc the start time is unknown and the id alone decides.

import { existsSync } from 'node:fs'
import { startTimeOf, waitForExit } from '../../deploy/engine-process.ts'

export interface ProcessMark {
  readonly pid: number
  /** Clock ticks since boot; empty where the system does not tell. */
  readonly startTime: string
}

export function markOf(pid: number): ProcessMark {
  return { pid, startTime: startTimeOf(pid) ?? '' }
}

export function isRunning({ pid, startTime }: ProcessMark): boolean {
  if (existsSync('/proc/self/stat')) return startTime !== '' && startTimeOf(pid) === startTime
  try {
    return process.kill(pid, 0)
  } catch {
    // No such process, or one of somebody else: not ours.
    return false
  }
}

/** Waits until a process that nobody supervises any more has ended, and ends it if it does not. */
export async function ensureEnded(mark: ProcessMark, graceMs: number): Promise<void> {
  if (!isRunning(mark) || (await waitForExit(mark.pid, mark.startTime, graceMs))) return
  process.kill(mark.pid, 'SIGKILL')
  await waitForExit(mark.pid, mark.startTime, 2_000)
}
