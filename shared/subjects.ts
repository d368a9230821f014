// Portable: Web APIs only.
//
// The names on NATS (PROTOCOL 5), in one place. A subject is built only from checked tokens: a name with a dot or a
// wildcard would read or write what belongs to somebody else.
import { NAME_PATTERN } from './ids.ts'

export const UPDATES_STREAM = 'UPDATES'
export const UPDATES_SUBJECTS = 'upd.>'

export interface AttemptKey {
  readonly tenant: string
  readonly job: string
  readonly attempt: number
}

function token(value: string): string {
  if (!NAME_PATTERN.test(value))
    throw new Error(`Cannot build a subject: ${JSON.stringify(value)} is not a valid token`)
  return value
}

function attemptToken(attempt: number): string {
  if (!Number.isSafeInteger(attempt) || attempt < 1)
    throw new Error(`Cannot build a subject: attempt ${attempt} is not 1, 2, 3, …`)
  return String(attempt)
}

/** Core subject that wakes an agent: {tenant, job, attempt, image}. */
export function runSubject(agent: string): string {
  return `run.${token(agent)}`
}

/** Where an agent publishes what one attempt said. */
export function updateSubject(agent: string, key: AttemptKey): string {
  return `upd.${token(agent)}.${token(key.tenant)}.${token(key.job)}.${attemptToken(key.attempt)}`
}

/** Core hint "the row changed", empty body. */
export function hintSubject(tenant: string, job: string): string {
  return `job.${token(tenant)}.${token(job)}`
}

/** Inbox prefix of an agent: the only place where it may receive answers. */
export function agentInboxPrefix(agent: string): string {
  return `_INBOX.${token(agent)}`
}
