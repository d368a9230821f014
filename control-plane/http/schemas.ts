// Portable: Web APIs only.
//
// The schemas that the API's description names, and those of bodies and queries that only HTTP has. Bodies that agents
// and clients share with the rest of the system come from shared/.
import { z } from '@hono/zod-openapi'
import { nameSchema } from '../../shared/ids.ts'
import { PHASES, STATUSES } from '../../shared/job.ts'
import {
  capacitySchema,
  claimBodySchema,
  exitSchema,
  finishBodySchema,
  heartbeatBodySchema,
  joinBodySchema,
} from '../../shared/agent-protocol.ts'
import { submitBodySchema } from '../../shared/job-spec.ts'

export const submitBody = submitBodySchema.meta({ id: 'SubmitBody' })
export const joinBody = joinBodySchema.meta({ id: 'JoinBody' })
export const heartbeatBody = heartbeatBodySchema.meta({ id: 'HeartbeatBody' })
export const claimBody = claimBodySchema.meta({ id: 'ClaimBody' })
export const finishBody = finishBodySchema.meta({ id: 'FinishBody' })

const time = z.iso.datetime()
const errorShape = z.object({ code: z.string(), message: z.string(), hint: z.string() }).meta({ id: 'JobError' })
const exitShape = exitSchema.meta({ id: 'Exit' })

const attemptShape = z
  .object({
    attempt: z.int(),
    agent: z.string(),
    gpus: z.array(z.string()),
    image_digest: z.string().optional(),
    claimed_at: time,
    started_at: time.optional(),
    finished_at: time.optional(),
    exit: exitShape.optional(),
    error: errorShape.optional(),
  })
  .meta({ id: 'Attempt' })

const transitionShape = z
  .object({
    rev: z.int(),
    at: time,
    event: z.string(),
    status: z.enum(STATUSES),
    phase: z.enum(PHASES),
    reason: z.string().optional(),
  })
  .meta({ id: 'Transition' })

const queueShape = z
  .object({
    position: z.int(),
    why: z.string(),
    agents: z.array(z.object({ agent: z.string(), lacks: z.array(z.string()) })),
  })
  .meta({ id: 'Queue', description: 'Why a waiting job waits, and what each agent lacks for it.' })

export const jobShape = z
  .object({
    id: z.string(),
    name: z.string().optional(),
    tenant: z.string(),
    status: z.enum(STATUSES),
    phase: z.enum(PHASES),
    cancel_requested: z.boolean(),
    attempt: z.int(),
    created_at: time,
    started_at: time.optional(),
    finished_at: time.optional(),
    retry_of: z.string().optional(),
    result: z.unknown().optional(),
    error: errorShape.optional(),
    exit: exitShape.optional(),
    queue: queueShape.optional(),
    attempts: z.array(attemptShape),
    transitions: z.array(transitionShape),
    labels: z.record(z.string(), z.string()),
    spec: z.record(z.string(), z.unknown()).meta({ description: 'The submit body with its defaults filled in.' }),
  })
  .meta({ id: 'Job' })

export const agentShape = z
  .object({
    id: z.string(),
    name: z.string(),
    pool: z.string(),
    labels: z.record(z.string(), z.string()),
    state: z.enum(['ready', 'cordoned', 'draining', 'lost']),
    version: z.string(),
    protocol: z.int(),
    capacity: capacitySchema.pick({ cpus: true, memory: true, disk: true, gpus: true }),
    used: z.object({ cpus: z.number(), memory: z.int(), gpus: z.array(z.string()) }),
    running: z.array(z.object({ tenant: z.string(), job: z.string(), attempt: z.int() })),
    posture: z.looseObject({ degraded: z.array(z.string()) }),
    last_seen_at: time.optional(),
  })
  .meta({ id: 'Agent' })

export const keyShape = z
  .object({
    id: z.string(),
    tenant: z.string(),
    role: z.enum(['admin', 'tenant']),
    name: z.string().optional(),
    created_at: time,
    expires_at: time.optional(),
  })
  .meta({ id: 'Key' })

export const newTokenShape = z
  .object({ id: z.string(), token: z.string().meta({ description: 'Shown once.' }), expires_at: time.optional() })
  .meta({ id: 'NewToken' })

export const problemShape = z
  .looseObject({
    type: z.string(),
    title: z.string(),
    status: z.int(),
    detail: z.string(),
    code: z.string(),
    hint: z.string(),
    request_id: z.string(),
    errors: z.array(z.object({ path: z.string(), detail: z.string() })).optional(),
  })
  .meta({ id: 'Problem', description: 'RFC 9457 problem details.' })

export const historyShape = z
  .object({
    updates: z.array(z.looseObject({ type: z.string() })),
    cursor: z.int().meta({ description: 'Ask for what follows with ?after=<cursor>.' }),
    done: z.boolean().meta({ description: 'The terminal update was among them, or lies before.' }),
  })
  .meta({ id: 'History' })

export const listOf = (item: z.ZodType) => z.object({ items: z.array(item), cursor: z.string().nullable() })

const DAY_SECONDS = 24 * 3600
const lifetime = z
  .int()
  .min(1)
  .max(3650 * DAY_SECONDS)
  .optional()
  .meta({ description: 'Seconds; none: for ever.' })

export const cancelBody = z
  .strictObject({
    grace_seconds: z
      .number()
      .min(0)
      .max(30 * DAY_SECONDS)
      .optional(),
  })
  .meta({ id: 'CancelBody' })

export const emptyBody = z.strictObject({})

export const newKeyBody = z
  .strictObject({
    tenant: nameSchema.optional().meta({ description: "The caller's own where it is left out." }),
    role: z.enum(['admin', 'tenant']).default('tenant'),
    name: z.string().min(1).max(200).optional().meta({ description: 'What it is for.' }),
    ttl_seconds: lifetime,
  })
  .meta({ id: 'NewKeyBody' })

export const newJoinTokenBody = z
  .strictObject({ pool: nameSchema.optional(), ttl_seconds: lifetime })
  .meta({ id: 'NewJoinTokenBody' })

/** Ids in paths: what cannot be one does not exist (404), whatever else is wrong. */
export const idParam = z.object({ id: nameSchema })
export const jobParams = z.object({ tenant: nameSchema, job: nameSchema })

/** A whole number in a query. */
export function wholeNumber(min: number, max: number, fallback: number) {
  const rule = `must be a whole number from ${min} to ${max}`
  return z
    .string()
    .regex(/^\d{1,15}$/, rule)
    .transform(Number)
    .refine((value) => value >= min && value <= max, rule)
    .default(fallback)
    .openapi({ type: 'integer', minimum: min, maximum: max, default: fallback })
}

const cursorParam = z.string().max(512).min(1).optional().meta({ description: 'From the page before.' })

export const pageQuery = z.strictObject({ limit: wholeNumber(1, 500, 50), cursor: cursorParam })
