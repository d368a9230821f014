// Portable: Web APIs only.
//
// nodetool's RunJobRequest (PROTOCOL 1): what a client sends as `request`, and the bytes that reach the container's
// stdin. Unknown fields pass through. The CLI itself ignores `env`, `resource_limits` and `job_id`: the agent acts on them.
import { z } from 'zod'

const edgeSchema = z.looseObject({
  id: z.string().nullish(),
  source: z.string(),
  sourceHandle: z.string(),
  target: z.string(),
  targetHandle: z.string(),
  ui_properties: z.record(z.string(), z.unknown()).nullish(),
  edge_type: z.enum(['data', 'control']).nullish(),
})

const nodeSchema = z.looseObject({
  id: z.string(),
  parent_id: z.string().nullish(),
  type: z.string().optional(),
  data: z.unknown().optional(),
  ui_properties: z.unknown().optional(),
  dynamic_properties: z.record(z.string(), z.unknown()).nullish(),
  dynamic_outputs: z.record(z.string(), z.unknown()).nullish(),
  sync_mode: z.string().nullish(),
})

export const graphSchema = z.looseObject({ nodes: z.array(nodeSchema), edges: z.array(edgeSchema) })

const positive = z.number().positive().max(Number.MAX_SAFE_INTEGER)

export const resourceLimitsSchema = z.looseObject({
  cpu_percent: positive.nullish(),
  memory_mb: positive.nullish(),
  time_seconds: positive.nullish(),
  file_size_mb: positive.nullish(),
  open_files: positive.nullish(),
  max_processes: positive.nullish(),
})

export const runJobRequestSchema = z.looseObject({
  type: z.literal('run_job_request').optional(),
  job_id: z.string().nullish(),
  job_type: z.string().nullish(),
  execution_strategy: z.string().nullish(),
  params: z.unknown().optional(),
  messages: z.array(z.unknown()).nullish(),
  workflow_id: z.string().nullish(),
  user_id: z.string().nullish(),
  auth_token: z.string().nullish(),
  api_url: z.string().nullish(),
  env: z.record(z.string(), z.union([z.string(), z.number(), z.boolean(), z.null()])).nullish(),
  graph: graphSchema.nullish(),
  explicit_types: z.boolean().nullish(),
  resource_limits: resourceLimitsSchema.nullish(),
})

export type RunJobRequest = z.infer<typeof runJobRequestSchema>

/**
 * The request as the CLI's stdin. `nodetool run --stdin` guesses whether its input is Python by looking for eleven
 * strings in the first ten lines, so ten newlines follow the first `{`: still valid JSON, and nothing of it is there.
 */
export function encodeRequest(request: RunJobRequest): string {
  const json = JSON.stringify({ type: 'run_job_request', ...request })
  return `{${'\n'.repeat(10)}${json.slice(1)}\n`
}
