// Portable: Web APIs only.
//
// How serious a log line is (PROTOCOL 1). Programs log to stderr whatever they have to say, so its lines are judged by
// the level that Python's usual format writes between bars, "2026-11-25 10:00:00 | WARNING | name | text", and where
// there is none by how they begin. A guess for people's eyes: nothing decides by it.

export type Severity = 'info' | 'warning' | 'error'

// A level stands in the second column and near the start; looking further would read the text of the message.
const LEVEL = /^[^|\n]{0,80}\|\s{0,8}([A-Z]{3,12})\s{0,8}\|/
const ALARMING = /^(Traceback|Error|WARNING)/

const BY_LEVEL: Readonly<Record<string, Severity>> = { CRITICAL: 'error', ERROR: 'error', WARNING: 'warning' }

/** The level that a stderr line names, or undefined. */
export function stderrLevel(text: string): string | undefined {
  return LEVEL.exec(text)?.[1]
}

export function severityOf(stream: 'stdout' | 'stderr', text: string): Severity {
  if (stream === 'stdout') return 'info'
  const level = stderrLevel(text)
  if (level !== undefined) return BY_LEVEL[level] ?? 'info'
  return ALARMING.test(text) ? 'warning' : 'info'
}

/** Whether a level is INFO or below: such a line does not explain a failure. A line without a level may. */
export function isQuietLevel(level: string | undefined): boolean {
  return level !== undefined && BY_LEVEL[level] === undefined
}
