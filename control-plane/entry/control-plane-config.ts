// The settings of a control plane: every DRAY_* variable that it reads, with what it means, its default and its unit.
// docs/configuration.md is generated from this table. A wrong value is refused in a sentence that names the variable.
import { join, resolve } from 'node:path'
import { z } from 'zod'
import { formatSize, parseSize } from '../../shared/sizes.ts'
import type { CoreConfig } from '../core/deps.ts'
import type { Maxima } from '../http/maxima.ts'

export interface ControlPlaneConfig {
  readonly host: string
  /** 0: any free one. */
  readonly port: number
  readonly stateDir: string
  readonly databaseUrl: string
  readonly databaseToken: string | undefined
  readonly nats: {
    readonly urls: readonly string[]
    readonly agentUrls: readonly string[] | undefined
    readonly identityFile: string
    readonly caFile: string | undefined
    readonly maxBytes: number
    readonly maxAgeSeconds: number
  }
  readonly tls: { readonly certFile: string; readonly keyFile: string } | undefined
  /** The admin key of tenant `default`, where the operator chose it. */
  readonly adminToken: string | undefined
  readonly logLevel: 'info' | 'warn' | 'error'
  readonly maxima: Maxima
  readonly core: CoreConfig
}

export class ConfigError extends Error {
  override readonly name = 'ConfigError'
}

const GIB = 2 ** 30
const DAY_SECONDS = 24 * 3600

/** `unit` and `fallback` are for people; what a variable that is not set means is said by the schema. */
const setting = <T extends z.ZodType>(schema: T, description: string, fallback: string, unit = ''): T =>
  schema.meta({ description, fallback, unit })

const number = (min: number, max: number) =>
  z
    .string()
    .regex(/^\d+(\.\d+)?$/, `must be a number from ${min} to ${max}`)
    .transform(Number)
    .refine((value) => value >= min && value <= max, `must be a number from ${min} to ${max}`)

const whole = (min: number, max: number) => number(min, max).refine(Number.isInteger, 'must be a whole number')

const size = (min: number) =>
  z
    .string()
    .transform((text) => parseSize(text) ?? 0)
    .refine((bytes) => bytes >= min, `must be a size such as "512m" or "2g", at least ${formatSize(min)}`)

const list = z
  .string()
  .transform((text) => text.split(',').map((item) => item.trim()))
  .refine((items) => items.every((item) => /^(nats|tls|ws|wss):\/\/[^\s]+$/.test(item)), {
    error: 'must be addresses such as "nats://127.0.0.1:4222", separated by commas',
  })

const file = z.string().min(1)
const seconds = whole(1, 30 * DAY_SECONDS)

export const controlPlaneSettings = z.object({
  DRAY_HOST: setting(z.string().min(1).default('127.0.0.1'), 'Address to listen on.', '127.0.0.1'),
  DRAY_PORT: setting(whole(0, 65_535).default(8700), 'Port to listen on; 0 takes any free one.', '8700'),
  DRAY_TLS_CERT_FILE: setting(file.optional(), 'Certificate (PEM) for HTTPS; together with the key.', 'plain HTTP'),
  DRAY_TLS_KEY_FILE: setting(file.optional(), 'Private key (PEM) for HTTPS.', 'plain HTTP'),
  DRAY_STATE_DIR: setting(file.default('.dray'), 'Folder for what a control plane keeps on disk, mode 0700.', '.dray'),
  DRAY_ADMIN_TOKEN: setting(
    z
      .string()
      .regex(/^dray_[A-Za-z0-9_-]{32,200}$/, 'must be "dray_" and at least 32 letters, digits, "_" or "-"')
      .optional(),
    'An admin key of tenant `default` that is to exist. Without it, an empty database gets one that is written to `admin.token` in the state folder.',
    'made at the first start',
  ),
  DRAY_DATABASE_URL: setting(
    z
      .string()
      .regex(/^(file:.+|(libsql|https?|wss?):\/\/.+)$/, 'must be an address such as "file:dray.db" or "libsql://host"')
      .optional(),
    'libSQL: a file, or a server.',
    '`dray.db` in the state folder',
  ),
  DRAY_DATABASE_TOKEN: setting(z.string().min(1).optional(), 'Token for a libSQL server.', 'none'),
  DRAY_NATS_URLS: setting(
    list.default(['nats://127.0.0.1:4222']),
    'NATS servers, separated by commas.',
    'nats://127.0.0.1:4222',
  ),
  DRAY_NATS_AGENT_URLS: setting(list.optional(), 'What agents dial, where it differs.', 'DRAY_NATS_URLS'),
  DRAY_NATS_IDENTITY_FILE: setting(
    file.optional(),
    'Keys of the NATS accounts; made where it is missing.',
    '`nats-identity.json` in the state folder',
  ),
  DRAY_NATS_CA_FILE: setting(
    file.optional(),
    'Authority (PEM) that signed the NATS servers’ certificates.',
    'the system’s',
  ),
  DRAY_UPDATES_MAX_BYTES: setting(
    size(2 ** 20).default(3 * GIB),
    'Size of the stream that holds updates, oldest out first; smaller than what the NATS servers may store.',
    '3g',
    'size',
  ),
  DRAY_UPDATES_MAX_AGE_SECONDS: setting(
    whole(60, 3650 * DAY_SECONDS).default(7 * DAY_SECONDS),
    'How long updates are kept.',
    '604800',
    'seconds',
  ),
  DRAY_LEASE_SECONDS: setting(
    // Two sweeps must fit into it: one that comes a lease after the last judges nobody, so with less no lease would end.
    number(4, 3600).default(6),
    'How long an agent may be silent before its jobs lapse; it beats each third of it. Longer costs fewer requests and rows.',
    '6',
    'seconds',
  ),
  DRAY_NATS_JWT_SECONDS: setting(
    whole(60, 30 * DAY_SECONDS).default(3600),
    'Life of an agent’s NATS credentials; renewed by its heartbeats.',
    '3600',
    'seconds',
  ),
  DRAY_MAX_OUTPUT_BYTES: setting(
    size(2 ** 16).default(256 * 2 ** 20),
    'Most that a job may print (`output_limit`).',
    '256m',
    'size',
  ),
  DRAY_MAX_LINE_BYTES: setting(
    size(2 ** 10).default(8 * 2 ** 20),
    'Longest line that is kept in one piece.',
    '8m',
    'size',
  ),
  DRAY_CPU_OVERCOMMIT: setting(number(1, 64).default(4), 'CPUs given to jobs for each CPU that a machine has.', '4'),
  DRAY_MAX_MEMORY: setting(size(6 * 2 ** 20).optional(), 'Most for `resources.memory`.', 'no maximum', 'size'),
  DRAY_MAX_CPUS: setting(number(0.01, 4096).optional(), 'Most for `resources.cpus`.', 'no maximum'),
  DRAY_MAX_GPUS: setting(whole(0, 64).optional(), 'Most for `resources.gpus`.', 'no maximum'),
  DRAY_MAX_PIDS: setting(whole(1, 1_000_000).optional(), 'Most for `resources.pids`.', 'no maximum'),
  DRAY_MAX_SHM: setting(size(1).optional(), 'Most for `resources.shm`.', 'no maximum', 'size'),
  DRAY_MAX_TIMEOUT_SECONDS: setting(
    seconds.optional(),
    'Most for `timeout_seconds`; a job without one gets this.',
    'no maximum',
    'seconds',
  ),
  DRAY_MAX_QUEUE_TTL_SECONDS: setting(seconds.optional(), 'Most for `queue_ttl_seconds`.', 'no maximum', 'seconds'),
  DRAY_MAX_STOP_GRACE_SECONDS: setting(seconds.optional(), 'Most for `stop_grace_seconds`.', 'no maximum', 'seconds'),
  DRAY_MAX_LOST_AFTER_SECONDS: setting(seconds.optional(), 'Most for `lost_after_seconds`.', 'no maximum', 'seconds'),
  DRAY_MAX_ATTEMPTS: setting(whole(1, 100).optional(), 'Most for `retries.max_attempts`.', 'no maximum'),
  DRAY_LOG_LEVEL: setting(
    z.enum(['info', 'warn', 'error']).default('info'),
    'Least that is logged: info, warn or error.',
    'info',
  ),
})

type Settings = z.output<typeof controlPlaneSettings>

export function loadControlPlaneConfig(environment: Readonly<Record<string, string | undefined>>): ControlPlaneConfig {
  // A blank variable is one that is not set: compose files write them so.
  const given = Object.fromEntries(
    Object.entries(environment).filter(([, value]) => value !== undefined && value !== ''),
  )
  refuseUnknownMaxima(given)
  const parsed = controlPlaneSettings.safeParse(given)
  if (!parsed.success) throw new ConfigError(parsed.error.issues.map((issue) => sentence(issue, given)).join('\n'))
  return configOf(parsed.data)
}

/** A misspelt maximum would be none at all. Other DRAY_* variables may belong to other parts of the system. */
function refuseUnknownMaxima(given: Readonly<Record<string, unknown>>): void {
  const unknown = Object.keys(given).find(
    (name) => name.startsWith('DRAY_MAX_') && !(name in controlPlaneSettings.shape),
  )
  if (unknown !== undefined) throw new ConfigError(`${unknown} is no setting of the control plane.`)
}

const SECRETS: ReadonlySet<string> = new Set(['DRAY_ADMIN_TOKEN', 'DRAY_DATABASE_TOKEN'])

function sentence(issue: z.core.$ZodIssue, given: Readonly<Record<string, unknown>>): string {
  const name = String(issue.path[0])
  const rule = issue.code === 'invalid_value' ? `must be one of ${issue.values.join(', ')}` : issue.message
  return SECRETS.has(name) ? `${name} ${rule}.` : `${name} is ${JSON.stringify(given[name])}, but ${rule}.`
}

function configOf(settings: Settings): ControlPlaneConfig {
  const stateDir = resolve(settings.DRAY_STATE_DIR)
  return {
    host: settings.DRAY_HOST,
    port: settings.DRAY_PORT,
    stateDir,
    databaseUrl: settings.DRAY_DATABASE_URL ?? `file:${join(stateDir, 'dray.db')}`,
    databaseToken: settings.DRAY_DATABASE_TOKEN,
    nats: {
      urls: settings.DRAY_NATS_URLS,
      agentUrls: settings.DRAY_NATS_AGENT_URLS,
      identityFile: settings.DRAY_NATS_IDENTITY_FILE ?? join(stateDir, 'nats-identity.json'),
      caFile: settings.DRAY_NATS_CA_FILE,
      maxBytes: settings.DRAY_UPDATES_MAX_BYTES,
      maxAgeSeconds: settings.DRAY_UPDATES_MAX_AGE_SECONDS,
    },
    tls: tlsOf(settings),
    adminToken: settings.DRAY_ADMIN_TOKEN,
    logLevel: settings.DRAY_LOG_LEVEL,
    maxima: maximaOf(settings),
    core: {
      leaseMs: settings.DRAY_LEASE_SECONDS * 1000,
      outputBytes: settings.DRAY_MAX_OUTPUT_BYTES,
      lineBytes: settings.DRAY_MAX_LINE_BYTES,
      cpuOvercommit: settings.DRAY_CPU_OVERCOMMIT,
      natsJwtSeconds: settings.DRAY_NATS_JWT_SECONDS,
    },
  }
}

function tlsOf({ DRAY_TLS_CERT_FILE: certFile, DRAY_TLS_KEY_FILE: keyFile }: Settings): ControlPlaneConfig['tls'] {
  if (certFile !== undefined && keyFile !== undefined) return { certFile, keyFile }
  if (certFile === undefined && keyFile === undefined) return undefined
  throw new ConfigError('DRAY_TLS_CERT_FILE and DRAY_TLS_KEY_FILE must be set together.')
}

function maximaOf(settings: Settings): Maxima {
  return {
    memoryBytes: settings.DRAY_MAX_MEMORY ?? null,
    cpus: settings.DRAY_MAX_CPUS ?? null,
    gpus: settings.DRAY_MAX_GPUS ?? null,
    pids: settings.DRAY_MAX_PIDS ?? null,
    shmBytes: settings.DRAY_MAX_SHM ?? null,
    timeoutSeconds: settings.DRAY_MAX_TIMEOUT_SECONDS ?? null,
    queueTtlSeconds: settings.DRAY_MAX_QUEUE_TTL_SECONDS ?? null,
    stopGraceSeconds: settings.DRAY_MAX_STOP_GRACE_SECONDS ?? null,
    lostAfterSeconds: settings.DRAY_MAX_LOST_AFTER_SECONDS ?? null,
    attempts: settings.DRAY_MAX_ATTEMPTS ?? null,
  }
}
