// Portable: Web APIs only.
//
// The one catalogue of error codes (PROTOCOL 2): whose fault it is, whether trying again can help, the HTTP status
// where the code is one, and a sentence that says what to do. The wire form is RFC 9457 problem JSON.

interface CatalogueEntry {
  readonly status: number | null
  readonly fault: 'caller' | 'job' | 'system'
  readonly retryable: boolean
  readonly title: string
  readonly hint: string
}

const entry = (
  status: number | null,
  fault: CatalogueEntry['fault'],
  retryable: boolean,
  title: string,
  hint: string,
): CatalogueEntry => ({ status, fault, retryable, title, hint })

export const ERRORS = {
  bad_request: entry(400, 'caller', false, 'Bad request', 'Correct the named field and send the request again.'),
  unauthenticated: entry(
    401,
    'caller',
    false,
    'Not authenticated',
    'Send "Authorization: Bearer <key>" with a key that is valid.',
  ),
  forbidden: entry(403, 'caller', false, 'Not allowed', 'Use a key whose role allows this call.'),
  not_found: entry(404, 'caller', false, 'Not found', 'Check the id; list what exists with GET on the collection.'),
  method_not_allowed: entry(405, 'caller', false, 'Method not allowed', 'Use one of the methods in the Allow header.'),
  conflict: entry(409, 'caller', false, 'Conflict', 'Read the present state and decide again.'),
  idempotency_mismatch: entry(
    409,
    'caller',
    false,
    'Idempotency key reused',
    'Use a new Idempotency-Key for a new body.',
  ),
  fenced: entry(409, 'system', false, 'Attempt is fenced', 'Drop this attempt: another one counts.'),
  superseded: entry(409, 'system', false, 'Session superseded', 'A newer process of this agent took over: exit.'),
  too_large: entry(
    413,
    'caller',
    false,
    'Too large',
    'Send less, or place large inputs where the container can fetch them.',
  ),
  unsupported_media_type: entry(
    415,
    'caller',
    false,
    'Unsupported media type',
    'Send "Content-Type: application/json" without Content-Encoding.',
  ),
  rate_limited: entry(429, 'caller', true, 'Too many requests', 'Wait for the time in Retry-After, then try again.'),
  quota_exceeded: entry(
    429,
    'caller',
    true,
    'Quota exceeded',
    'Wait until some of your jobs have ended, or ask for a larger quota.',
  ),
  internal: entry(500, 'system', true, 'Internal error', 'Try again; if it stays, report the request_id.'),
  unavailable: entry(503, 'system', true, 'Unavailable', 'Try again in a few seconds: nothing was changed.'),
  unsatisfiable: entry(
    null,
    'caller',
    false,
    'No agent could ever run it',
    'Lower the resources or labels, join a machine that has them, or give queue_ttl_seconds to wait.',
  ),
  expired: entry(null, 'system', true, 'Queue time-out', 'Raise queue_ttl_seconds or add capacity.'),
  image_not_found: entry(
    null,
    'caller',
    false,
    'Image not found',
    'Check the image name and tag, or load the image on the agent.',
  ),
  image_pull_failed: entry(
    null,
    'system',
    true,
    'Image could not be pulled',
    'Check that the agent reaches the registry and may read the image.',
  ),
  image_not_allowed: entry(null, 'caller', false, 'Image not allowed', 'Use an image of the allow-list.'),
  image_signature: entry(
    null,
    'caller',
    false,
    'Image signature refused',
    'Sign the image with a key that the policy trusts.',
  ),
  start_failed: entry(
    null,
    'job',
    false,
    'Container could not start',
    'Check entrypoint, command, user and working directory against the image.',
  ),
  exit_nonzero: entry(null, 'job', false, 'Container failed', 'Read the last lines of its stderr.'),
  workflow_failed: entry(null, 'job', false, 'Workflow failed', 'Read the error of the node that failed.'),
  suspended: entry(
    null,
    'job',
    false,
    'Workflow suspended',
    'A suspended workflow cannot be resumed here: submit it again.',
  ),
  oom: entry(null, 'job', false, 'Out of memory', 'Raise resources.memory or make the job use less.'),
  timeout: entry(null, 'job', false, 'Timed out', 'Raise timeout_seconds or make the job faster.'),
  output_limit: entry(
    null,
    'job',
    false,
    'Output limit reached',
    'Print less, or raise the output limit of the agent.',
  ),
  gpu_memory: entry(null, 'job', false, 'GPU memory limit reached', 'Use less GPU memory or raise the limit.'),
  disk_full: entry(null, 'system', true, 'Disk full', 'Free disk space on the agent.'),
  agent_lost: entry(null, 'system', true, 'Agent lost', 'Retry the job; check the machine that ran it.'),
  engine_lost: entry(null, 'system', true, 'Container lost', 'Retry the job; check the Docker engine of the agent.'),
} as const satisfies Record<string, CatalogueEntry>

export type ErrorCode = keyof typeof ERRORS

/** Codes that may stand in a job's `error`. */
export function isErrorCode(code: string): code is ErrorCode {
  return Object.hasOwn(ERRORS, code)
}

/** What a job's `error` and the terminal update carry. */
export interface JobError {
  readonly code: ErrorCode
  readonly message: string
  readonly hint: string
}

export function jobError(code: ErrorCode, message?: string, hint?: string): JobError {
  return { code, message: message ?? ERRORS[code].title, hint: hint ?? ERRORS[code].hint }
}

/** Thrown at the edge of a module; the HTTP layer turns it into problem JSON. */
export class AppError extends Error {
  readonly code: ErrorCode
  readonly details: Readonly<Record<string, unknown>>
  readonly hint: string

  constructor(
    code: ErrorCode,
    detail: string,
    options: { details?: Record<string, unknown>; hint?: string; cause?: unknown } = {},
  ) {
    super(detail, options.cause === undefined ? {} : { cause: options.cause })
    this.name = 'AppError'
    this.code = code
    this.details = options.details ?? {}
    this.hint = options.hint ?? ERRORS[code].hint
  }
}

/** RFC 9457 body. `type` is a stable name, not an address that somebody must host. */
export interface Problem {
  readonly type: string
  readonly title: string
  readonly status: number
  readonly detail: string
  readonly code: ErrorCode
  readonly hint: string
  readonly request_id: string
  readonly [extra: string]: unknown
}

export function problemOf(error: AppError, requestId: string): Problem {
  const known = ERRORS[error.code]
  return {
    ...error.details,
    type: `urn:dray:problem:${error.code}`,
    title: known.title,
    status: known.status ?? 500,
    detail: error.message,
    code: error.code,
    hint: error.hint,
    request_id: requestId,
  }
}
