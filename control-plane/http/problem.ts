// Portable: Web APIs only.
//
// Every error leaves as RFC 9457 problem JSON: here and nowhere else. An error that nobody foresaw is `internal`: its
// words go to the log, never to the client.
import type { StatusCode } from 'hono/utils/http-status'
import { AppError, problemOf } from '../../shared/errors.ts'
import type { Log } from '../core/ports.ts'
import type { AppContext } from './context.ts'

const RETRY_AFTER_SECONDS = 2

export function problemResponse(context: AppContext, error: AppError): Response {
  const problem = problemOf(error, context.get('requestId'))
  context.status(problem.status as StatusCode)
  context.header('Content-Type', 'application/problem+json')
  if (problem.status === 401) context.header('WWW-Authenticate', 'Bearer realm="dray"')
  if (problem.status === 503 || problem.status === 429) context.header('Retry-After', String(RETRY_AFTER_SECONDS))
  return context.body(JSON.stringify(problem))
}

/** Anything thrown, as an AppError. */
export function asAppError(error: unknown, log: Log, requestId: string): AppError {
  if (error instanceof AppError) {
    if (error.code === 'unavailable' || error.code === 'internal')
      log.warn('request failed', { request_id: requestId, code: error.code, error: describe(error.cause ?? error) })
    return error
  }
  // The caller hung up while it was served: nobody reads the answer.
  if (error instanceof DOMException && error.name === 'AbortError')
    return new AppError('unavailable', 'The request was given up.', { cause: error })
  log.error('request failed unexpectedly', {
    request_id: requestId,
    error: error instanceof Error ? (error.stack ?? error.message) : describe(error),
  })
  return new AppError('internal', 'The request could not be completed.')
}

function describe(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}
