// The one error that leaves this folder. `code` is the word of the closed catalogue that a job's error carries,
// `kind` the finer word that the agent's own code branches on, `hint` what a person can do about it.

import type { ErrorCode } from '../../shared/errors.ts'

export type EngineErrorCode = Extract<
  ErrorCode,
  'image_not_found' | 'image_pull_failed' | 'start_failed' | 'disk_full' | 'engine_lost' | 'internal'
>

export type EngineErrorKind =
  | 'image_missing'
  | 'image_name'
  | 'pull_denied'
  | 'pull_failed'
  | 'command_missing'
  | 'command_not_executable'
  | 'no_command'
  | 'user_unknown'
  | 'workdir'
  | 'mount'
  | 'network_missing'
  | 'gpu_driver_missing'
  | 'gpu_failed'
  | 'memory_too_small'
  | 'cpus_too_many'
  | 'disk_limit_unsupported'
  | 'profile_missing'
  | 'refused'
  | 'disk_full'
  | 'name_in_use'
  | 'not_running'
  | 'running'
  | 'being_removed'
  | 'container_missing'
  | 'log_unreadable'
  | 'engine_away'
  | 'engine_forbidden'
  | 'engine_silent'
  | 'engine_fault'

export type EngineFailure = {
  /** What was being done, as a verb phrase: 'create the container', 'pull the image'. */
  action: string
  /** The thing it was done to: an image's name or a container's. */
  subject: string
  /** HTTP status, where the engine answered. */
  status?: number
  /** Node's code (ENOENT, ECONNREFUSED …), where it did not. */
  errno?: string
  /** The engine's own message. */
  message: string
}

export type Fault = {
  kind: EngineErrorKind
  code: EngineErrorCode
  message: string
  hint: string
  /** The same call may succeed later without anybody changing anything. */
  transient: boolean
  /** Nobody listened: no engine has heard of this call. */
  unheard?: boolean
  /** What a shell would have returned for a command that could not be run. */
  exitCode?: number
}

export class EngineError extends Error {
  override readonly name = 'EngineError'
  readonly kind: EngineErrorKind
  readonly code: EngineErrorCode
  readonly hint: string
  readonly transient: boolean
  readonly unheard: boolean
  readonly exitCode: number | undefined

  constructor(fault: Fault, options?: { cause?: unknown }) {
    super(fault.message, options)
    this.kind = fault.kind
    this.code = fault.code
    this.hint = fault.hint
    this.transient = fault.transient
    this.unheard = fault.unheard === true
    this.exitCode = fault.exitCode
  }
}

/** Narrowing with an optional list of kinds: `isEngineError(error, 'container_missing')`. */
export const isEngineError = (error: unknown, ...kinds: EngineErrorKind[]): error is EngineError =>
  error instanceof EngineError && (kinds.length === 0 || kinds.includes(error.kind))
