// The agent's settings, read once from its environment and its command line (PROTOCOL 6 and 7). Everything that reads
// an environment variable does it here; a setting that makes no sense is refused with a sentence that names it.
import { readFileSync } from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { z } from 'zod'
import { agentSettings } from '../shared/container-env.ts'
import { nameSchema } from '../shared/ids.ts'
import { parseSize } from '../shared/sizes.ts'

export interface AgentConfig {
  readonly url: string
  /** Not needed once the state folder has joined. */
  readonly joinToken: string | null
  readonly stateDir: string
  readonly name: string | null
  readonly pool: string
  readonly labels: Readonly<Record<string, string>>
  readonly dockerSocket: string
  readonly image: string
  readonly command: readonly string[]
  readonly internetNetwork: string
  /** What a job gets that does not say; at most the machine's own. */
  readonly memoryBytes: number
  readonly cpus: number
  /** As the operator wrote it: ids, "all", or nothing. */
  readonly gpuDevices: string | undefined
  readonly gpuMemoryBytes: number | null
  /** Passed on to containers. */
  readonly settings: Readonly<Record<string, string>>
  /** SIGTERM waits this long for running jobs; then they stay for the next process. Infinity: for all of them. */
  readonly drainMs: number
  readonly bootId: string
  /** Of this process, as a measure of what the engine beside it has. */
  readonly maxOpenFiles: number
  readonly version: string
}

/** What the command line says; it outranks the environment. */
export interface AgentFlags {
  readonly url?: string | undefined
  readonly joinToken?: string | undefined
  readonly state?: string | undefined
  readonly name?: string | undefined
  readonly pool?: string | undefined
  /** "K=V", several. */
  readonly label?: readonly string[] | undefined
  /** Wait for all jobs before the end, however long. */
  readonly drain?: boolean | undefined
}

type Environment = Readonly<Record<string, string | undefined>>

export class ConfigError extends Error {
  override readonly name = 'ConfigError'
}

const size = z.string().transform((text, context) => {
  const bytes = parseSize(text)
  if (bytes !== undefined) return bytes
  context.addIssue({ code: 'custom', message: 'must be a size such as "512m" or "2g"' })
  return z.NEVER
})

const list = z.string().transform((text) =>
  text
    .split(',')
    .map((item) => item.trim())
    .filter((item) => item !== ''),
)

const label = z.string().transform((text, context) => {
  const [key = '', value = '', ...more] = text.split('=')
  if (more.length === 0 && nameSchema.safeParse(key).success && nameSchema.safeParse(value).success)
    return [key, value] as const
  context.addIssue({ code: 'custom', message: `"${text}" must look like gpu=a100, with letters, digits, "_" and "-"` })
  return z.NEVER
})

const settingsSchema = z.object({
  DRAY_URL: z.url({
    protocol: /^https?$/,
    error: 'must be the address of the control plane, such as "https://dray.example.org"',
  }),
  DRAY_JOIN_TOKEN: z.string().optional(),
  DRAY_STATE: z.string().optional(),
  DRAY_AGENT_NAME: nameSchema.optional(),
  DRAY_POOL: nameSchema.default('default'),
  DRAY_LABELS: list.pipe(z.array(label)).default([]),
  DRAY_DRAIN_SECONDS: z.coerce
    .number()
    .min(0)
    .max(30 * 24 * 3600)
    .default(30),
  DRAY_PASS_ENV: list.default([]),
  DRAY_INTERNET_NETWORK: z.string().min(1).default('bridge'),
  DOCKER_HOST: z
    .string()
    .regex(
      /^unix:\/\/\/.+/,
      'must be a Unix socket such as "unix:///var/run/docker.sock": the agent runs beside its engine',
    )
    .default('unix:///var/run/docker.sock'),
  DOCKER_IMAGE: z.string().min(1).default('nodetool'),
  DOCKER_COMMAND: z.string().min(1).default('nodetool run --stdin --jsonl --show-node-updates'),
  DOCKER_MEM_LIMIT: size.pipe(z.number().min(6 * 2 ** 20, 'must be at least 6m')).default(2 * 2 ** 30),
  DOCKER_CPU_LIMIT: z.coerce.number().min(0.01).max(4096).default(2),
  DOCKER_GPU_DEVICES: z.string().optional(),
  DOCKER_GPU_MEMORY_LIMIT: size.optional(),
})

export function loadConfig(environment: Environment, flags: AgentFlags = {}): AgentConfig {
  const parsed = settingsSchema.safeParse(withoutBlanks({ ...environment, ...flagsAsSettings(flags) }))
  if (!parsed.success) throw new ConfigError(sentenceOf(parsed.error))
  const settings = parsed.data
  return {
    url: settings.DRAY_URL.replace(/\/+$/, ''),
    joinToken: settings.DRAY_JOIN_TOKEN ?? null,
    stateDir: path.resolve(settings.DRAY_STATE ?? defaultStateDir(environment)),
    name: settings.DRAY_AGENT_NAME ?? null,
    pool: settings.DRAY_POOL,
    labels: Object.fromEntries(settings.DRAY_LABELS),
    dockerSocket: settings.DOCKER_HOST.replace(/^unix:\/\//, ''),
    image: settings.DOCKER_IMAGE,
    command: splitCommand(settings.DOCKER_COMMAND),
    internetNetwork: settings.DRAY_INTERNET_NETWORK,
    memoryBytes: settings.DOCKER_MEM_LIMIT,
    cpus: settings.DOCKER_CPU_LIMIT,
    gpuDevices: settings.DOCKER_GPU_DEVICES,
    gpuMemoryBytes: settings.DOCKER_GPU_MEMORY_LIMIT ?? null,
    settings: agentSettings(environment, settings.DRAY_PASS_ENV),
    drainMs: flags.drain ? Number.POSITIVE_INFINITY : settings.DRAY_DRAIN_SECONDS * 1000,
    bootId: readBootId(),
    maxOpenFiles: readMaxOpenFiles(),
    version: '0.1.0',
  }
}

/** Words as a shell would see them: blanks part, single or double quotes keep together. Or a JSON array of strings. */
export function splitCommand(text: string): string[] {
  if (text.trimStart().startsWith('[')) {
    const words = z.array(z.string()).min(1).safeParse(jsonOrUndefined(text))
    if (words.success) return words.data
    throw new ConfigError('DOCKER_COMMAND must be words, or a JSON array of strings.')
  }
  const words = text.match(/(?:[^\s"']|"[^"]*"|'[^']*')+/g) ?? []
  return words.map((word) =>
    word.replaceAll(/"([^"]*)"|'([^']*)'/g, (_, double?: string, single?: string) => double ?? single ?? ''),
  )
}

function jsonOrUndefined(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    // The caller says what the text should have been.
    return undefined
  }
}

function flagsAsSettings(flags: AgentFlags): Record<string, string> {
  const given = {
    DRAY_URL: flags.url,
    DRAY_JOIN_TOKEN: flags.joinToken,
    DRAY_STATE: flags.state,
    DRAY_AGENT_NAME: flags.name,
    DRAY_POOL: flags.pool,
    DRAY_LABELS: flags.label?.join(','),
  }
  return Object.fromEntries(Object.entries(given).filter((entry): entry is [string, string] => entry[1] !== undefined))
}

/** An empty variable is an unset one: that is how compose files and systemd units leave a setting out. */
function withoutBlanks(environment: Environment): Record<string, string> {
  return Object.fromEntries(
    Object.entries(environment).filter((entry): entry is [string, string] => (entry[1] ?? '') !== ''),
  )
}

function sentenceOf(error: z.ZodError): string {
  const issue = error.issues[0]
  const setting = String(issue?.path[0] ?? 'A setting')
  if (setting === 'DRAY_URL')
    return `The agent needs the control plane's address: give --url or DRAY_URL (${issue?.message ?? ''}).`
  return `${setting} ${issue?.message ?? 'is not valid'}.`
}

function defaultStateDir(environment: Environment): string {
  const base = environment['XDG_STATE_HOME'] || path.join(os.homedir(), '.local', 'state')
  return path.join(base, 'dray', 'agent')
}

/** Changes with each start of the machine: a container of an earlier boot cannot still be running. */
function readBootId(): string {
  try {
    return readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim()
  } catch {
    // Not Linux: the minute of the boot, rounded because both clocks drift.
    return `boot-${Math.round((Date.now() / 1000 - os.uptime()) / 60)}`
  }
}

function readMaxOpenFiles(): number {
  try {
    const hard = /^Max open files\s+\S+\s+(\d+)/m.exec(readFileSync('/proc/self/limits', 'utf8'))?.[1]
    return hard === undefined ? Number.MAX_SAFE_INTEGER : Number(hard)
  } catch {
    // Not Linux: there the engine runs in a machine of its own.
    return Number.MAX_SAFE_INTEGER
  }
}
