// Portable: Web APIs only.
//
// Clients' calls about jobs (PROTOCOL 3): submit, list, show, cancel, retry. A tenant is taken from the key and never
// from the request, so another tenant's job is as missing as one that never was.
import { z } from '@hono/zod-openapi'
import { canonicalJson } from '../../shared/canonical-json.ts'
import { AppError } from '../../shared/errors.ts'
import { isName, nameSchema, sha256Hex } from '../../shared/ids.ts'
import { STATUSES, type Status } from '../../shared/job.ts'
import type { JobKey } from '../core/ports.ts'
import type { App, HttpDeps, Principal } from './context.ts'
import { serve } from './endpoint.ts'
import { applyMaxima } from './maxima.ts'
import { cancelBody, emptyBody, idParam, jobShape, listOf, pageQuery, submitBody } from './schemas.ts'

const statuses = z
  .string()
  .transform((text) => text.split(','))
  .refine((list): list is Status[] => list.every((status) => (STATUSES as readonly string[]).includes(status)), {
    error: `must be one or several of ${STATUSES.join(', ')}, separated by commas`,
  })
  .optional()
  .openapi({ type: 'string', example: 'starting,running' })

const label = z
  .string()
  .transform((text) => {
    const [key = '', value = '', ...more] = text.split(':')
    return { key, value, isLabel: more.length === 0 && isName(key) && isName(value) }
  })
  .refine(({ isLabel }) => isLabel, 'must be a label such as "team:vision"')
  .optional()
  .openapi({ type: 'string', example: 'team:vision' })

const listQuery = pageQuery.extend({ status: statuses, label, pool: nameSchema.optional() })

const submitHeaders = z.object({
  'idempotency-key': z
    .string()
    .optional()
    .meta({ description: '1 to 255 printable ASCII characters, kept for 7 days: repeating a submit makes one job.' }),
})

export function tenantOf(principal: Principal | null): string {
  // Routes of access "client" and "admin" let nobody else through.
  if (principal?.kind !== 'key') throw new AppError('forbidden', 'This call needs a key of a tenant.')
  return principal.key.tenant
}

export function jobKeyOf(principal: Principal | null, { id }: { readonly id: string }): JobKey {
  return { tenant: tenantOf(principal), job: id }
}

export function jobRoutes(app: App, deps: HttpDeps): void {
  submitRoute(app, deps)
  readRoutes(app, deps)
  actionRoutes(app, deps)
}

function submitRoute(app: App, deps: HttpDeps): void {
  const { core, maxima } = deps
  serve(
    app,
    deps,
    {
      method: 'post',
      path: '/v1/jobs',
      tag: 'Jobs',
      summary: 'Submit a job',
      access: 'client',
      headers: submitHeaders,
      body: submitBody,
      answers: {
        201: {
          description: 'Accepted: the job is in the database and will end in exactly one final state',
          schema: jobShape,
        },
        200: { description: 'The Idempotency-Key names this job, made by the same body before', schema: jobShape },
      },
    },
    async ({ context, principal, body, sentBody }) => {
      const idempotencyKey = readIdempotencyKey(context.req.header('idempotency-key'))
      const bodyHash = idempotencyKey === null ? '' : await sha256Hex(canonicalJson(sentBody))
      const spec = applyMaxima(body, sentBody, maxima)
      const { created, job } = await core.submit(spec, { tenant: tenantOf(principal), idempotencyKey, bodyHash })
      return context.json(job, created ? 201 : 200, { Location: `/v1/jobs/${job.id}` })
    },
  )
}

function readIdempotencyKey(header: string | undefined): string | null {
  if (header === undefined) return null
  if (/^[\x20-\x7e]{1,255}$/.test(header)) return header
  throw new AppError('bad_request', 'The header "Idempotency-Key" must be 1 to 255 printable ASCII characters.')
}

function readRoutes(app: App, deps: HttpDeps): void {
  const { core } = deps
  serve(
    app,
    deps,
    {
      method: 'get',
      path: '/v1/jobs',
      tag: 'Jobs',
      summary: 'List jobs, newest first',
      access: 'client',
      query: listQuery,
      answers: { 200: { description: 'One page', schema: listOf(jobShape) } },
    },
    async ({ context, principal, query }) =>
      context.json(
        await core.listJobs({
          tenant: tenantOf(principal),
          statuses: query.status ?? [],
          label: query.label ?? null,
          pool: query.pool ?? null,
          limit: query.limit,
          cursor: query.cursor ?? null,
        }),
      ),
  )
  serve(
    app,
    deps,
    {
      method: 'get',
      path: '/v1/jobs/{id}',
      tag: 'Jobs',
      summary: 'Show a job',
      description: 'With its attempts and transitions, and while it waits with the reason why.',
      access: 'client',
      params: idParam,
      answers: { 200: { description: 'The job', schema: jobShape } },
    },
    async ({ context, principal, params }) => context.json(await core.showJob(jobKeyOf(principal, params))),
  )
}

function actionRoutes(app: App, deps: HttpDeps): void {
  const { core } = deps
  serve(
    app,
    deps,
    {
      method: 'post',
      path: '/v1/jobs/{id}/cancel',
      tag: 'Jobs',
      summary: 'Cancel a job',
      description: 'May be repeated; a second call may only shorten the grace. 409 on a job that ended otherwise.',
      access: 'client',
      params: idParam,
      body: cancelBody,
      isBodyOptional: true,
      answers: {
        202: { description: 'The job is cancelled, or will be as soon as its container has stopped', schema: jobShape },
      },
    },
    async ({ context, principal, params, body }) =>
      context.json(await core.cancelJob(jobKeyOf(principal, params), body.grace_seconds ?? null), 202),
  )
  serve(
    app,
    deps,
    {
      method: 'post',
      path: '/v1/jobs/{id}/retry',
      tag: 'Jobs',
      summary: 'Run an ended job again, as a new job',
      access: 'client',
      params: idParam,
      body: emptyBody,
      isBodyOptional: true,
      answers: { 201: { description: 'The new job, with retry_of', schema: jobShape } },
    },
    async ({ context, principal, params }) => {
      const job = await core.retryJob(jobKeyOf(principal, params))
      return context.json(job, 201, { Location: `/v1/jobs/${job.id}` })
    },
  )
}
