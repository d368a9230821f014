// Whose kill ended a container that the process before this one held: it may have sent the signal and died before it said
// so. What is left of it is the exit code of a signal, the times that Docker keeps, and what the job's limits and the
// control plane say now; that is enough to tell our own kill from a program's failure. Pure.
//
// A stop for want of a renewal cannot be told any more: by then the control plane has given the attempt up itself.
import { constants } from 'node:os'
import type { KillReason } from '../shared/outcome.ts'

export interface EarlierEnd {
  readonly code: number
  /** As Docker stamps them. */
  readonly startedAt: string
  readonly finishedAt: string
  readonly stopSignal: string
}

export interface KillReasons {
  readonly timeoutSeconds: number | null
  readonly cancelRequested: boolean
  /** As this process finds by reading its output anew. */
  readonly overItsOutput: boolean
}

export function earlierKill(end: EarlierEnd, reasons: KillReasons): KillReason | null {
  if (!isKill(end.code, end.stopSignal)) return null
  if (reasons.overItsOutput) return 'output_limit'
  const ranMs = Date.parse(end.finishedAt) - Date.parse(end.startedAt)
  // No program is killed by chance just then; a cancel that came later changes nothing of it.
  if (reasons.timeoutSeconds !== null && ranMs >= reasons.timeoutSeconds * 1000) return 'timeout'
  return reasons.cancelRequested ? 'cancelled' : null
}

/** Whether the exit code is that of a container that was stopped, and did or did not obey. */
export function isKill(code: number, stopSignal: string): boolean {
  return code === codeOf('SIGKILL') || code === codeOf(stopSignal)
}

function codeOf(signal: string): number {
  return 128 + (constants.signals[signal as NodeJS.Signals] ?? 0)
}
