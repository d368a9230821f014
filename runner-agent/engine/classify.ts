// What a failure of the Docker engine means, as a sentence for the person whose job it stopped. Pure: status, errno and
// the engine's own words in, a fault out. Whatever no rule knows keeps the engine's words.

import { RULES, type Rule } from './classify-rules.ts'
import { EngineError, type EngineFailure, type Fault } from './engine-error.ts'

// People know a container by the first twelve characters of its id.
const CONTAINER_ID = /^([0-9a-f]{12})[0-9a-f]{52}$/

const AWAY = new Set(['ENOENT', 'ECONNREFUSED', 'ECONNRESET', 'EPIPE', 'ENOTSOCK', 'ECONNABORTED', 'EPROTO'])

export const classifyFailure = (raw: EngineFailure): Fault => {
  const failure = { ...raw, subject: raw.subject.replace(CONTAINER_ID, '$1') }
  if (failure.errno !== undefined && failure.status === undefined) return classifyUnreachable(failure)
  const words = engineWords(failure.message)
  const rule = RULES.find((candidate) => appliesTo(candidate, failure))
  if (rule === undefined) return classifyUnknown(failure, words)
  return {
    kind: rule.kind,
    code: rule.code,
    message: rule.say(failure, words),
    hint: rule.hint,
    transient: rule.transient === true,
    ...(rule.exitCode === undefined ? {} : { exitCode: rule.exitCode }),
  }
}

const appliesTo = ({ during, pattern }: Rule, { action, message }: EngineFailure): boolean =>
  (during === undefined || action.startsWith(during)) && pattern.test(message)

/** The engine wraps the cause in the names of its layers; the cause comes last. */
export const engineWords = (message: string): string =>
  message
    .trim()
    .replace(/^(Error response from daemon: |failed to create (shim task|task for container): )+/i, '')
    .replace(/^.*unable to start container process: (error during container init: )?/s, '')
    .replace(/: unknown$/, '')
    .replace(/\s*\n\s*/g, ' ')
    .replace(/\.$/, '')
    .slice(0, 600)

const classifyUnreachable = (failure: EngineFailure): Fault => {
  const what = `Cannot ${failure.action} "${failure.subject}"`
  if (failure.errno === 'EACCES' || failure.errno === 'EPERM') {
    return {
      kind: 'engine_forbidden',
      code: 'engine_lost',
      message: `${what}: the agent may not open the socket of the Docker engine.`,
      hint: 'Run the agent as a user of the group "docker", or as root.',
      transient: false,
    }
  }
  if (failure.errno === 'ETIMEDOUT') {
    return {
      kind: 'engine_silent',
      code: 'engine_lost',
      message: `${what}: the Docker engine of this machine does not answer.`,
      hint: 'Look at "systemctl status docker" and the load of the machine.',
      transient: true,
    }
  }
  const known = failure.errno !== undefined && AWAY.has(failure.errno)
  return {
    kind: known ? 'engine_away' : 'engine_fault',
    code: known ? 'engine_lost' : 'internal',
    message: `${what}: the Docker engine of this machine ${known ? 'is not running' : `failed (${failure.message})`}.`,
    hint: 'Start it ("systemctl start docker"); the agent goes on by itself.',
    transient: true,
    unheard: failure.errno === 'ENOENT' || failure.errno === 'ECONNREFUSED',
  }
}

/**
 * An engine that dies within a start may have begun it and not written that down: the container printed fifty lines, and
 * the next engine stopped it and says that it never ran (14 of 14 kills at the first line on 20.10.24, 7 of 14 on 26.1.5).
 */
export const diedWithinStart = (containerId: string): EngineError =>
  new EngineError({
    kind: 'engine_fault',
    code: 'engine_lost',
    message: `The Docker engine died while it started container "${containerId.slice(0, 12)}": nobody can say whether it ran.`,
    hint: 'List "engine_lost" in the retries of jobs that may run again.',
    transient: false,
  })

const classifyUnknown = (failure: EngineFailure, words: string): Fault => {
  const message = `Cannot ${failure.action} "${failure.subject}": ${words === '' ? 'the engine gave no reason' : words}.`
  if (failure.action.startsWith('pull')) {
    return {
      kind: 'pull_failed',
      code: 'image_pull_failed',
      message,
      hint: 'Check that this machine reaches the registry; the pull is safe to repeat.',
      transient: true,
    }
  }
  // 4xx, and a start that failed: the engine found fault with what the job asked for, not with itself.
  const status = failure.status ?? 500
  if (status < 500 || failure.action.startsWith('start')) {
    return { kind: 'refused', code: 'start_failed', message, hint: 'Correct what Docker names here.', transient: false }
  }
  const hint = 'Look at the log of the Docker engine ("journalctl -u docker").'
  return { kind: 'engine_fault', code: 'internal', message, hint, transient: true }
}

/**
 * With an init process the engine starts the init, whatever the command: a command that cannot be run shows only as
 * exit code 127 or 126 beside one line that tini wrote to stderr. The line is asked for too, because a shell exits 127
 * for reasons of its own.
 */
export const classifyInitExit = (exitCode: number, stderrLines: readonly string[]): Fault | undefined => {
  if (exitCode !== 127 && exitCode !== 126) return undefined
  const found = stderrLines.map((line) => /^\[FATAL tini \(\d+\)\] exec (.+) failed: (.+)$/.exec(line.trim()))
  const match = found.findLast((candidate) => candidate !== null)
  if (match === undefined || match === null) return undefined
  const missing = exitCode === 127
  return {
    kind: missing ? 'command_missing' : 'command_not_executable',
    code: 'start_failed',
    message: `The command "${match[1]}" cannot be run: ${match[2]}.`,
    hint: missing
      ? 'Check "command" and "entrypoint" against the image; no shell interprets them.'
      : 'It must be an executable file, built for the architecture of the machine.',
    transient: false,
    exitCode,
  }
}
