// The port Log as lines: one JSON object each. On Node and Deno they go to stderr, so that stdout stays free for what a
// program says on purpose; on workerd to the console.
import type { Log } from '../core/ports.ts'

const LEVELS = ['info', 'warn', 'error'] as const
export type LogLevel = (typeof LEVELS)[number]

export function createLineLog(least: LogLevel, write: (line: string) => void): Log {
  const at =
    (level: LogLevel) =>
    (message: string, fields: Readonly<Record<string, unknown>> = {}) => {
      if (LEVELS.indexOf(level) < LEVELS.indexOf(least)) return
      write(`${JSON.stringify({ at: new Date().toISOString(), level, message, ...fields })}\n`)
    }
  return { info: at('info'), warn: at('warn'), error: at('error') }
}
