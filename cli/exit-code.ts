// A job's end as an exit code (PROTOCOL 7): the container's own where it has one, docker's and ours where it has none.

import type { JobView } from '../shared/job.ts'
import type { TerminalUpdate } from '../shared/update.ts'

export const exitCodes = { usage: 2, timeout: 124, ourFailure: 125, cancelled: 130 } as const

/** Of a terminal update or an ended job. */
export function exitCodeOf(end: Pick<JobView | TerminalUpdate, 'status' | 'exit' | 'error'>): number {
  if (end.status === 'completed') return 0
  if (end.status === 'cancelled') return exitCodes.cancelled
  if (end.error?.code === 'timeout') return exitCodes.timeout
  return end.exit?.code || exitCodes.ourFailure
}
