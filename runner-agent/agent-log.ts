// The agent's own log: one JSON object a line on stderr, for people and for whatever collects them. The agent's stdout
// stays empty. Never an environment, a key or a job's output.

export interface AgentLog {
  info(message: string, fields?: Readonly<Record<string, unknown>>): void
  warn(message: string, fields?: Readonly<Record<string, unknown>>): void
  error(message: string, fields?: Readonly<Record<string, unknown>>): void
}

export function createAgentLog(write: (line: string) => void = (line) => process.stderr.write(line)): AgentLog {
  const log =
    (level: string) =>
    (message: string, fields: Readonly<Record<string, unknown>> = {}) => {
      write(`${JSON.stringify({ at: new Date().toISOString(), level, message, ...fields })}\n`)
    }
  return { info: log('info'), warn: log('warn'), error: log('error') }
}

/** An error as one sentence, its causes included: what a log line can hold. */
export function sentenceOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error)
  return error.cause instanceof Error ? `${error.message} (${error.cause.message})` : error.message
}
