// Portable: Web APIs only.
//
// The submit body (PROTOCOL 3) and the JobSpec that it becomes: every default filled in that does not depend on the
// agent, every size in bytes. What depends on the agent stays null and is settled by `effectiveLimits`.
import { z } from 'zod'
import { isErrorCode, type ErrorCode } from './errors.ts'
import { nameSchema } from './ids.ts'
import { runJobRequestSchema } from './nodetool.ts'
import { parseSize } from './sizes.ts'

const SECONDS_MAX = 30 * 24 * 3600
const seconds = z.number().min(1).max(SECONDS_MAX)
const noNul = (text: string): boolean => !text.includes('\0')
const text = z.string().max(65_536).refine(noNul, 'must not hold a NUL character')
const filled = text.min(1)

const size = z.union([z.string(), z.number()]).transform((value, context) => {
  const bytes = parseSize(String(value))
  if (bytes !== undefined) return bytes
  context.addIssue({ code: 'custom', message: 'must be a size such as "512m" or "2g"' })
  return z.NEVER
})

const ENV_KEY = /^[A-Za-z_][A-Za-z0-9_]*$/
const RESERVED_ENV = /^(DRAY|NVIDIA)_/i

const envKey = z
  .string()
  .max(255)
  .regex(ENV_KEY, 'must be a name like MY_SETTING')
  .refine((key) => !RESERVED_ENV.test(key), 'must not begin with DRAY_ or NVIDIA_: the agent sets these')
const env = z.record(envKey, text)
const labels = z.record(nameSchema, nameSchema)

const absolutePath = filled.refine(
  (path) => path.startsWith('/') && !path.split('/').includes('..'),
  'must be an absolute path without ".."',
)
const workdir = absolutePath.refine(
  (path) => !/^\/+(proc|sys|dev)(\/|$)/.test(path),
  'must not lie under /proc, /sys or /dev',
)

const notYet = (what: string) =>
  z
    .unknown()
    .refine(
      (value) => value === undefined || (Array.isArray(value) && value.length === 0),
      `${what} are not available in this version: leave it out`,
    )
    .optional()

const resources = z.strictObject({
  memory: size.pipe(z.number().min(6 * 2 ** 20, 'must be at least 6m')).optional(),
  cpus: z.number().min(0.01).max(4096).optional(),
  gpus: z
    .union([z.int().min(0).max(64), z.strictObject({ count: z.int().min(0).max(64) })])
    .transform((gpus) => (typeof gpus === 'number' ? gpus : gpus.count))
    .default(0),
  pids: z.int().min(1).max(1_000_000).default(512),
  shm: size.default(64 * 2 ** 20),
  tmpfs: z.record(absolutePath, size).optional(),
  disk: size.optional(),
})

const retries = z.strictObject({
  max_attempts: z.int().min(1).max(100).default(1),
  on: z
    .array(z.string().refine((code): code is ErrorCode => isErrorCode(code), 'must be an error code of the catalogue'))
    .max(64)
    .default([]),
  backoff_seconds: z.number().min(0).max(SECONDS_MAX).default(1),
  exclusive: z.boolean().default(false),
})

const stdinSchema = z.union([z.string(), z.strictObject({ base64: z.base64() })])

const signal = z.string().regex(/^SIG[A-Z0-9+-]{1,16}$/, 'must be a signal name such as "SIGTERM"')

export const submitBodySchema = z
  .strictObject({
    request: runJobRequestSchema.optional(),
    stdin: stdinSchema.optional(),
    image: filled
      .max(512)
      .regex(/^[\x21-\x7e]+$/, 'must be an image name of printable ASCII without spaces')
      .optional(),
    command: z.array(text).max(4096).optional(),
    entrypoint: z.array(text).max(4096).optional(),
    pull: z.enum(['missing', 'always', 'never']).default('missing'),
    env: env.default({}),
    secrets: notYet('secrets'),
    workdir: workdir.optional(),
    user: filled
      .max(255)
      .regex(/^[A-Za-z0-9_][A-Za-z0-9_.-]*(:[A-Za-z0-9_][A-Za-z0-9_.-]*)?$/, 'must be "uid[:gid]" or a name')
      .optional(),
    resources: resources.prefault({}),
    read_only: z.boolean().default(false),
    network: z.enum(['internet', 'none']).default('internet'),
    volumes: notYet('volumes'),
    artifacts: notYet('artifacts'),
    parse_updates: z.boolean().default(true),
    timeout_seconds: seconds.optional(),
    queue_ttl_seconds: seconds.optional(),
    stop_signal: signal.optional(),
    stop_grace_seconds: seconds.default(10),
    retries: retries.prefault({}),
    lost_after_seconds: seconds.default(600),
    priority: z.enum(['high', 'normal', 'low']).default('normal'),
    pool: nameSchema.default('default'),
    labels: labels.default({}),
    agent_labels: labels.default({}),
    name: nameSchema.optional(),
    webhook: notYet('webhooks'),
  })
  .superRefine((body, context) => {
    if (body.request !== undefined && body.stdin !== undefined)
      context.addIssue({
        code: 'custom',
        path: ['stdin'],
        message: 'must not be given together with "request": at most one of them',
      })
    for (const key of Object.keys(body.request?.env ?? {}))
      if (!envKey.safeParse(key).success)
        context.addIssue({ code: 'custom', path: ['request', 'env', key], message: 'is not a name that a job may set' })
    const id = body.request?.job_id
    if (typeof id === 'string' && !nameSchema.safeParse(id).success)
      context.addIssue({
        code: 'custom',
        path: ['request', 'job_id'],
        message: 'must begin with a letter or digit and hold at most 63 letters, digits, "_" or "-"',
      })
  })

/** What a client may send. */
export type SubmitBody = z.input<typeof submitBodySchema>

/** What the store keeps and the agent gets: the parsed submit body. */
export type JobSpec = z.output<typeof submitBodySchema>

/** Limits of the machine's owner for jobs that do not say; the agent reports them with its capacity. */
export interface ResourceDefaults {
  readonly memory: number
  readonly cpus: number
}

export interface EffectiveLimits {
  readonly memory: number
  readonly cpus: number
  readonly gpus: number
  readonly pids: number
  readonly shm: number
  readonly timeoutSeconds: number | null
  readonly openFiles: number | null
  readonly fileSizeBytes: number | null
}

function megabytes(value: number | null | undefined): number | null {
  return value ? Math.floor(value * 2 ** 20) : null
}

function stricter(first: number, second: number | null | undefined): number {
  return second === null || second === undefined ? first : Math.min(first, second)
}

/** What the container gets: the stricter of `resources` (or the agent's default) and the request's `resource_limits`. */
export function effectiveLimits(spec: JobSpec, defaults: ResourceDefaults): EffectiveLimits {
  const limits = spec.request?.resource_limits
  const memory = Math.max(6 * 2 ** 20, stricter(spec.resources.memory ?? defaults.memory, megabytes(limits?.memory_mb)))
  const timeouts = [spec.timeout_seconds, limits?.time_seconds].filter((value) => typeof value === 'number')
  return {
    memory,
    cpus: Math.max(
      0.01,
      stricter(spec.resources.cpus ?? defaults.cpus, limits?.cpu_percent ? limits.cpu_percent / 100 : null),
    ),
    gpus: spec.resources.gpus,
    pids: Math.max(1, Math.floor(stricter(spec.resources.pids, limits?.max_processes))),
    shm: Math.min(spec.resources.shm, memory),
    timeoutSeconds: timeouts.length > 0 ? Math.min(...timeouts) : null,
    openFiles: limits?.open_files ? Math.max(1, Math.floor(limits.open_files)) : null,
    fileSizeBytes: megabytes(limits?.file_size_mb),
  }
}
