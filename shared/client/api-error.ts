// Portable: Web APIs only.
//
// What the client throws: ApiError for everything that the API refused or could not answer, JobFailedError for a job
// that ended otherwise than completed. Both say what to do in `hint`.
import { ERRORS, isErrorCode, type ErrorCode } from '../errors.ts'
import type { JobView } from '../job.ts'

export interface ApiErrorFields {
  readonly code: ErrorCode
  /** HTTP status; 0 when no answer came. */
  readonly status: number
  readonly hint?: string | undefined
  readonly requestId?: string | undefined
  /** Extra members of the problem document. */
  readonly details?: Readonly<Record<string, unknown>> | undefined
  readonly cause?: unknown
}

export class ApiError extends Error {
  readonly code: ErrorCode
  readonly status: number
  /** Whether the same call may succeed later. */
  readonly retryable: boolean
  readonly hint: string
  readonly requestId: string | undefined
  readonly details: Readonly<Record<string, unknown>>

  constructor(message: string, fields: ApiErrorFields) {
    super(message, fields.cause === undefined ? {} : { cause: fields.cause })
    this.name = 'ApiError'
    this.code = fields.code
    this.status = fields.status
    this.retryable = ERRORS[fields.code].retryable
    this.hint = fields.hint ?? ERRORS[fields.code].hint
    this.requestId = fields.requestId
    this.details = fields.details ?? {}
  }
}

/** The job came to its end, but not to a result. `job` is its last state. */
export class JobFailedError extends Error {
  readonly job: JobView
  readonly code: ErrorCode | 'cancelled'
  readonly exitCode: number | null
  readonly hint: string

  constructor(job: JobView) {
    super(`Job "${job.id}" ended as ${job.status}: ${job.error?.message ?? 'no reason was given'}`)
    this.name = 'JobFailedError'
    this.job = job
    this.code = job.error?.code ?? (job.status === 'cancelled' ? 'cancelled' : 'internal')
    this.exitCode = job.exit?.code ?? null
    this.hint = job.error?.hint ?? ''
  }
}

/** Reads a problem document (RFC 9457); anything else, such as a proxy's HTML page, becomes an error by its status. */
export async function errorOfResponse(response: Response): Promise<ApiError> {
  const text = await response.text().catch(() => '')
  const problem = parseObject(text)
  const { code, detail, hint, request_id: requestId, ...details } = problem
  const known = typeof code === 'string' && isErrorCode(code) ? code : codeOfStatus(response.status)
  return new ApiError(typeof detail === 'string' ? detail : `The server answered ${response.status}`, {
    code: known,
    status: response.status,
    hint: typeof hint === 'string' ? hint : undefined,
    requestId: typeof requestId === 'string' ? requestId : undefined,
    details,
  })
}

export function unreachable(url: string, cause: unknown): ApiError {
  return new ApiError(`No answer from ${url}`, {
    code: 'unavailable',
    status: 0,
    hint: 'Check the address and that the control plane runs ("dray doctor" says what is wrong).',
    cause,
  })
}

function codeOfStatus(status: number): ErrorCode {
  const byStatus = Object.entries(ERRORS).find(([, entry]) => entry.status === status)
  if (byStatus) return byStatus[0] as ErrorCode
  if (status >= 500) return status === 500 ? 'internal' : 'unavailable'
  return 'bad_request'
}

function parseObject(text: string): Record<string, unknown> {
  try {
    const value: unknown = JSON.parse(text)
    return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : {}
  } catch {
    // Not JSON: nobody of ours wrote it.
    return {}
  }
}
