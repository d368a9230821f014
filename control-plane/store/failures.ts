// What went wrong with the database, in the words of the catalogue. Only an error that is our own mistake (a constraint,
// a trigger, bad SQL) is `internal`; whatever else happens to a database heals, so it is `unavailable`: ask again.
import { AppError } from '../../shared/errors.ts'

/** Codes of SQLite that say that the statement itself is wrong: no repetition helps. */
const OUR_FAULT = /^SQLITE_(CONSTRAINT|ERROR|MISMATCH|RANGE|MISUSE|TOOBIG|SCHEMA|AUTH)/

export function codeOf(error: unknown): string {
  if (typeof error !== 'object' || error === null) return ''
  const { code } = error as { code?: unknown }
  return typeof code === 'string' ? code : ''
}

/** Another connection holds the lock; the same call may succeed in a moment. */
export function isBusy(error: unknown): boolean {
  return /^SQLITE_(BUSY|LOCKED)/.test(codeOf(error))
}

export function toAppError(error: unknown): AppError {
  if (error instanceof AppError) return error
  const message = error instanceof Error ? error.message : String(error)
  if (OUR_FAULT.test(codeOf(error)))
    return new AppError('internal', `The database refused a statement: ${message}`, { cause: error })
  return new AppError('unavailable', `The database does not answer: ${message}`, { cause: error })
}
