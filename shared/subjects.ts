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

/** All that agents may have published of one job. For questions only: a reader reads one attempt on its exact subject. */
export function jobUpdatesSubject(tenant: string, job: string): string {
  return `upd.*.${token(tenant)}.${token(job)}.*`
}

/** Whose updates a subject holds, by its own word. */
export interface StoredAttempt {
  readonly agent: string
  readonly attempt: number
}

/** Null where it is no subject of updates: agents may write junk. */
export function attemptIn(subject: string): StoredAttempt | null {
  const [, agent = '', , , attempt = '', ...more] = subject.split('.')
  if (more.length > 0 || !NAME_PATTERN.test(agent) || !/^[1-9]\d{0,14}$/.test(attempt)) return null
  return { agent, attempt: Number(attempt) }
}

/** Core hint "the row changed", empty body. */
export function hintSubject(tenant: string, job: string): string {
  return `job.${token(tenant)}.${token(job)}`
}

/** Inbox prefix of an agent: the only place where it may receive answers. */
export function agentInboxPrefix(agent: string): string {
  return `_INBOX.${token(agent)}`
}
