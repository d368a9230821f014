// Portable: Web APIs only.
//
// What an agent and the control plane say to each other: HTTP bodies (PROTOCOL 3) and NATS messages (PROTOCOL 5).
// Every agent call carries its process's random session in the header below.
import { z } from 'zod'
import { isErrorCode, type ErrorCode } from './errors.ts'
import { EXIT_REASONS, HELD_PHASES } from './job.ts'
import { nameSchema } from './ids.ts'
import type { JobSpec } from './job-spec.ts'

export const AGENT_PROTOCOL = 1
export const SESSION_HEADER = 'dray-session'

const count = z.int().min(0)
const attempt = z.int().min(1)

export const gpuSchema = z.object({
  id: z.string().min(1).max(128),
  uuid: z.string().max(128).optional(),
  model: z.string().max(128).optional(),
  memory: count.optional(),
})
export type Gpu = z.infer<typeof gpuSchema>

export const capacitySchema = z.object({
  cpus: z.number().positive(),
  memory: z.int().positive(),
  disk: count.optional(),
  gpus: z.array(gpuSchema).max(128),
  arch: z.string().max(64).optional(),
  /** What a job gets that does not say: DOCKER_MEM_LIMIT and DOCKER_CPU_LIMIT, at most the machine's own. */
  defaults: z.object({ memory: z.int().positive(), cpus: z.number().positive() }),
  images: z.array(z.string().max(512)).max(1000).optional(),
})
export type Capacity = z.infer<typeof capacitySchema>

export const postureSchema = z.looseObject({ degraded: z.array(z.string()).default([]) })
export type Posture = z.infer<typeof postureSchema>

export const joinBodySchema = z.object({
  join_token: z.string().min(1).max(256),
  nkey: z.string().regex(/^U[A-Z2-7]{55}$/, 'must be the public key of an nkey user'),
  name: nameSchema.optional(),
  pool: nameSchema.default('default'),
  labels: z.record(nameSchema, nameSchema).default({}),
  protocol: z.int().min(1),
  version: z.string().max(64),
  boot_id: z.string().max(64).default(''),
  capacity: capacitySchema,
  posture: postureSchema,
})
export type JoinBody = z.infer<typeof joinBodySchema>

export interface JoinAnswer {
  readonly agent: string
  readonly key: string
  readonly nats: {
    readonly urls: readonly string[]
    readonly jwt: string
    readonly tls?: { readonly ca?: string } | undefined
  }
  readonly lease_seconds: number
}

export const heldAttemptSchema = z.object({
  tenant: nameSchema,
  job: nameSchema,
  attempt,
  phase: z.enum(HELD_PHASES),
  n: count,
  stdout_lines: count,
  stderr_lines: count,
})
export type HeldAttempt = z.infer<typeof heldAttemptSchema>

export const heartbeatBodySchema = z.object({
  /** Counts up within a session, from 1. */
  beat: z.int().min(1),
  boot_id: z.string().max(64),
  capacity: capacitySchema.optional(),
  posture: postureSchema.optional(),
  stats: z.record(z.string(), z.unknown()).optional(),
  /** This process is about to end: it finishes what it holds and takes no new work. */
  draining: z.boolean().optional(),
  attempts: z.array(heldAttemptSchema).max(10_000),
})
export type HeartbeatBody = z.infer<typeof heartbeatBodySchema>

export interface WantedAttempt {
  readonly tenant: string
  readonly job: string
  readonly attempt: number
  readonly image?: string | undefined
  /** run: claim it or go on; cancel: stop with `grace_seconds` and finish; stop: it no longer counts, remove it. */
  readonly want: 'run' | 'cancel' | 'stop'
  readonly grace_seconds?: number | undefined
}

export interface HeartbeatAnswer {
  readonly lease_seconds: number
  readonly next_beat_seconds: number
  readonly cordoned: boolean
  readonly draining: boolean
  readonly nats_jwt?: string | undefined
  readonly attempts: readonly WantedAttempt[]
}

export const claimBodySchema = z.object({
  attempt,
  beat: count,
  adopt: z.boolean().default(false),
  /** Asked in the middle of publishing, by who remembers what it has stored; not said by agents of the first version. */
  publishing: z.boolean().optional(),
})
export type ClaimBody = z.infer<typeof claimBodySchema>

/** Where an attempt's stored updates end. `subject_seq` 0 and session null: nothing is stored yet. */
export interface Resume {
  readonly n: number
  readonly stdout_lines: number
  readonly stderr_lines: number
  readonly subject_seq: number
  readonly session: string | null
}

export interface Grant {
  readonly spec: JobSpec
  /** Environment of the control plane's making (none yet); the agent merges spec.env and spec.request.env itself. */
  readonly env: Readonly<Record<string, string>>
  readonly secrets: Readonly<Record<string, string>>
  readonly limits: { readonly output_bytes: number; readonly line_bytes: number }
  readonly gpus: readonly string[]
  readonly lost_after_seconds: number
  readonly cancel_requested: boolean
  readonly cancel_grace_seconds?: number | undefined
  readonly resume: Resume
}

export const exitSchema = z.object({
  code: z.int().min(0).max(255).nullable(),
  signal: z.string().max(32).optional(),
  oom_killed: z.boolean(),
  reason: z.enum(EXIT_REASONS),
})

export const jobErrorSchema = z.object({
  code: z.string().refine((code): code is ErrorCode => isErrorCode(code), 'must be an error code of the catalogue'),
  message: z.string().max(65_536),
  hint: z.string().max(4096),
})

export const finishBodySchema = z.object({
  attempt,
  exit: exitSchema,
  started_at: z.iso.datetime().nullable(),
  finished_at: z.iso.datetime(),
  image_digest: z.string().max(256).nullable(),
  result: z.unknown().optional(),
  error: jobErrorSchema.optional(),
  /** N: the n of the attempt's last update. */
  updates: count,
})
export type FinishBody = z.infer<typeof finishBodySchema>

/** Core message on `run.<agent>`. May be lost, repeated or forged: it only says "claim this". */
export const runCommandSchema = z.strictObject({
  tenant: nameSchema,
  job: nameSchema,
  attempt,
  image: z.string().max(512).nullable(),
})
export type RunCommand = z.infer<typeof runCommandSchema>

/** One message of the stream UPDATES: a batch of updates with consecutive n, or part k of m of one large update. */
export const updateBatchSchema = z.object({
  session: nameSchema,
  n: z.int().min(1),
  updates: z.array(z.record(z.string(), z.unknown())),
  /** Lines of each stream that this and all earlier messages hold. */
  stdout_lines: count,
  stderr_lines: count,
  /** On the first message after the stream lost the attempt's first one: where that stood, and with it the fence. */
  first_seq: z.int().min(1).optional(),
  /** A part of one update too large for a message: `text` pieces of its JSON, k = 1 … m; `updates` is empty. */
  part: z.object({ k: z.int().min(1), m: z.int().min(2), text: z.string() }).optional(),
})
export type UpdateBatch = z.infer<typeof updateBatchSchema>

/** NATS messages are at most this large (PROTOCOL 5). */
export const MAX_BATCH_BYTES = 512 * 1024
