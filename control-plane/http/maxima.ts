// Portable: Web APIs only.
//
// The operator's ceilings for what a job may ask, DRAY_MAX_*. A value above one is refused and named; a default above
// one is lowered to it, for nobody asked for that. A job without a time-out gets the longest that is allowed.
import { AppError } from '../../shared/errors.ts'
import type { JobSpec } from '../../shared/job-spec.ts'
import { formatSize } from '../../shared/sizes.ts'

/** Null: no ceiling. */
export interface Maxima {
  readonly memoryBytes: number | null
  readonly cpus: number | null
  readonly gpus: number | null
  readonly pids: number | null
  readonly shmBytes: number | null
  readonly timeoutSeconds: number | null
  readonly queueTtlSeconds: number | null
  readonly stopGraceSeconds: number | null
  readonly lostAfterSeconds: number | null
  readonly attempts: number | null
}

export const NO_MAXIMA: Maxima = {
  memoryBytes: null,
  cpus: null,
  gpus: null,
  pids: null,
  shmBytes: null,
  timeoutSeconds: null,
  queueTtlSeconds: null,
  stopGraceSeconds: null,
  lostAfterSeconds: null,
  attempts: null,
}

interface Ceiling {
  /** Where the body has it. */
  readonly path: readonly [string, string?]
  readonly setting: string
  readonly max: number | null
  readonly show: (value: number) => string
}

const plain = (value: number): string => String(value)

function ceilings(maxima: Maxima): readonly Ceiling[] {
  return [
    { path: ['resources', 'memory'], setting: 'DRAY_MAX_MEMORY', max: maxima.memoryBytes, show: formatSize },
    { path: ['resources', 'cpus'], setting: 'DRAY_MAX_CPUS', max: maxima.cpus, show: plain },
    { path: ['resources', 'gpus'], setting: 'DRAY_MAX_GPUS', max: maxima.gpus, show: plain },
    { path: ['resources', 'pids'], setting: 'DRAY_MAX_PIDS', max: maxima.pids, show: plain },
    { path: ['resources', 'shm'], setting: 'DRAY_MAX_SHM', max: maxima.shmBytes, show: formatSize },
    { path: ['timeout_seconds'], setting: 'DRAY_MAX_TIMEOUT_SECONDS', max: maxima.timeoutSeconds, show: plain },
    { path: ['queue_ttl_seconds'], setting: 'DRAY_MAX_QUEUE_TTL_SECONDS', max: maxima.queueTtlSeconds, show: plain },
    { path: ['stop_grace_seconds'], setting: 'DRAY_MAX_STOP_GRACE_SECONDS', max: maxima.stopGraceSeconds, show: plain },
    { path: ['lost_after_seconds'], setting: 'DRAY_MAX_LOST_AFTER_SECONDS', max: maxima.lostAfterSeconds, show: plain },
    { path: ['retries', 'max_attempts'], setting: 'DRAY_MAX_ATTEMPTS', max: maxima.attempts, show: plain },
  ]
}

/** The spec within the ceilings. `body` is what the client sent: only that is refused. */
export function applyMaxima(spec: JobSpec, body: unknown, maxima: Maxima): JobSpec {
  return ceilings(maxima).reduce((current, ceiling) => applyCeiling(current, body, ceiling), spec)
}

function applyCeiling(spec: JobSpec, body: unknown, { path, setting, max, show }: Ceiling): JobSpec {
  if (max === null) return spec
  const value = at(spec, path)
  if (typeof value === 'number' && value > max && at(body, path) !== undefined)
    throw new AppError(
      'bad_request',
      `"${path.join('.')}" is ${quoted(show(value))}, but must be at most ${quoted(show(max))} (${setting}).`,
      { hint: 'Ask for less, or have the operator raise the maximum.' },
    )
  const isUnbounded = value === undefined && setting === 'DRAY_MAX_TIMEOUT_SECONDS'
  return isUnbounded || (typeof value === 'number' && value > max) ? withValue(spec, path, max) : spec
}

function quoted(text: string): string {
  return `"${text}"`
}

function at(value: unknown, [first, second]: Ceiling['path']): unknown {
  const member = (value as Readonly<Record<string, unknown>> | null)?.[first]
  return second === undefined ? member : (member as Readonly<Record<string, unknown>> | null | undefined)?.[second]
}

function withValue(spec: JobSpec, [first, second]: Ceiling['path'], value: number): JobSpec {
  if (second === undefined) return { ...spec, [first]: value }
  const group = at(spec, [first]) as Readonly<Record<string, unknown>>
  return { ...spec, [first]: { ...group, [second]: value } }
}
