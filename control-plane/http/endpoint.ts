// Portable: Web APIs only.
//
// One route: described for OpenAPI and served by the same words. Checks come in this order, so that nobody learns more
// than they may: key, role, ids in the path (404), query, headers and body; the handler gets values it can trust. Each
// round trip to the database counts for agents' calls, so their key is read together with what they are about.
import { createRoute, z } from '@hono/zod-openapi'
import { AppError, ERRORS } from '../../shared/errors.ts'
import { authenticate, authorize, bearerKey, unreadAgent, type Access } from './auth.ts'
import type { App, AppContext, HttpDeps, Principal } from './context.ts'
import { badRequest } from './issues.ts'
import { jobParams, problemShape } from './schemas.ts'

export interface Answer {
  readonly description: string
  readonly schema?: z.ZodType
  /** Where it is not JSON. */
  readonly contentTypes?: readonly string[]
}

export interface Endpoint<P extends z.ZodObject, Q extends z.ZodObject, B extends z.ZodType> {
  readonly method: 'get' | 'post' | 'delete'
  /** As OpenAPI writes it: `/v1/jobs/{id}`. */
  readonly path: string
  readonly tag: 'Jobs' | 'Fleet' | 'Administration' | 'Agent calls' | 'System'
  readonly summary: string
  readonly description?: string
  readonly access: Access
  /** An agent's key: along with the job that the path names, or by the call itself, in the batch of its work. */
  readonly keyIsRead?: 'with_job' | 'by_call'
  readonly params?: P
  readonly query?: Q
  readonly body?: B
  /** A call without a body counts as `{}`. */
  readonly isBodyOptional?: boolean
  /** Header parameters, for the description only. */
  readonly headers?: z.ZodObject
  readonly answers: Readonly<Record<number, Answer>>
}

export interface Call<P extends z.ZodObject, Q extends z.ZodObject, B extends z.ZodType> {
  readonly context: AppContext
  /** Null where the call is public. */
  readonly principal: Principal | null
  readonly params: z.output<P>
  readonly query: z.output<Q>
  readonly body: z.output<B>
  /** The body as it was sent, before defaults. */
  readonly sentBody: unknown
}

type NoParams = z.ZodObject<Record<string, never>>
const NOTHING: NoParams = z.strictObject({})

export function serve<
  B extends z.ZodType = NoParams,
  P extends z.ZodObject = NoParams,
  Q extends z.ZodObject = NoParams,
>(
  app: App,
  deps: HttpDeps,
  endpoint: Endpoint<P, Q, B>,
  handler: (call: Call<P, Q, B>) => Promise<Response> | Response,
): void {
  const route = createRoute(description(endpoint))
  app.openAPIRegistry.registerPath(route)
  app.on(endpoint.method, route.getRoutingPath(), async (context) => {
    const unread = endpoint.keyIsRead === 'by_call' ? await unreadAgent(keyOf(context)) : null
    const principal = unread ?? (await admit(context, deps, endpoint))
    const answer = async (): Promise<Response> => {
      const params = parseParams(context, endpoint.params)
      const query = parseQuery(context, endpoint.query ?? NOTHING) as z.output<Q>
      const serveBody = async (sentBody: unknown): Promise<Response> => {
        const body = parseBody(endpoint, sentBody)
        return handler({ context, principal, params, query, body, sentBody })
      }
      return endpoint.method === 'get' ? serveBody(undefined) : deps.body.read(context.req.raw, serveBody)
    }
    if (!unread) return answer()
    return answer().catch(async (error: unknown) => {
      // What is wrong with a request is said to those who have a key.
      if (error instanceof AppError && ERRORS[error.code].fault === 'caller') await admit(context, deps, endpoint)
      throw error
    })
  })
}

function keyOf(context: AppContext): string | null {
  return bearerKey(context.req.header('authorization'))
}

async function admit(
  context: AppContext,
  { core }: HttpDeps,
  { access, keyIsRead }: { readonly access: Access; readonly keyIsRead?: 'with_job' | 'by_call' },
): Promise<Principal | null> {
  if (access === 'public') return null
  const job = keyIsRead === 'with_job' ? jobParams.safeParse(context.req.param()).data : undefined
  const principal = await authenticate(core, keyOf(context), job)
  authorize(principal, access)
  return principal
}

function parseParams<P extends z.ZodObject>(context: AppContext, schema: P | undefined): z.output<P> {
  const parsed = (schema ?? NOTHING).safeParse(context.req.param())
  if (!parsed.success) throw new AppError('not_found', 'Nothing has such an id.')
  return parsed.data as z.output<P>
}

/** Unknown and repeated parameters are refused by name: a misspelt filter must not show everything. */
export function parseQuery<Q extends z.ZodObject>(context: AppContext, schema: Q): z.output<Q> {
  const given: Record<string, string> = {}
  for (const [name, value] of new URL(context.req.url).searchParams) {
    if (Object.hasOwn(given, name)) throw new AppError('bad_request', `The query gives "${name}" more than once.`)
    Object.defineProperty(given, name, { value, enumerable: true })
  }
  const parsed = schema.safeParse(given, { reportInput: true })
  if (!parsed.success) throw badRequest('The query', parsed.error)
  return parsed.data
}

function parseBody<B extends z.ZodType>(
  { body: schema, isBodyOptional = false }: { readonly body?: B; readonly isBodyOptional?: boolean },
  sentBody: unknown,
): z.output<B> {
  if (schema && !isBodyOptional && sentBody === undefined)
    throw new AppError('bad_request', 'The body is missing: this call needs a JSON object.')
  const parsed = (schema ?? NOTHING).safeParse(sentBody === undefined ? {} : sentBody, { reportInput: true })
  if (!parsed.success) throw badRequest('The body', parsed.error)
  return parsed.data as z.output<B>
}

function description<P extends z.ZodObject, Q extends z.ZodObject, B extends z.ZodType>(endpoint: Endpoint<P, Q, B>) {
  const { method, path, tag, summary, params, query, headers, body } = endpoint
  return {
    method,
    path,
    summary,
    tags: [tag],
    ...(endpoint.description === undefined ? {} : { description: endpoint.description }),
    security: endpoint.access === 'public' ? [] : [{ bearer: [] }],
    request: {
      ...(params && { params }),
      ...(query && { query }),
      ...(headers && { headers }),
      ...(body && { body: { required: !endpoint.isBodyOptional, content: { 'application/json': { schema: body } } } }),
    },
    responses: {
      ...Object.fromEntries(Object.entries(endpoint.answers).map(([status, answer]) => [status, answerOf(answer)])),
      default: {
        description: 'Any error, as problem details',
        content: { 'application/problem+json': { schema: problemShape } },
      },
    },
  }
}

function answerOf({ description: text, schema, contentTypes = ['application/json'] }: Answer) {
  if (!schema) return { description: text }
  return { description: text, content: Object.fromEntries(contentTypes.map((type) => [type, { schema }])) }
}
