// Portable: Web APIs only.
//
// What surrounds every request: an id, one line in the log, security headers, the sweep's heartbeat, and the answer to
// paths and methods that do not exist. Header values and bodies never reach the log.
import { createMiddleware } from 'hono/factory'
import { methodNotAllowed } from 'hono/method-not-allowed'
import { routePath } from 'hono/route'
import { AppError } from '../../shared/errors.ts'
import { newId } from '../../shared/ids.ts'
import type { App, AppEnv, HttpDeps } from './context.ts'
import { asAppError, problemResponse } from './problem.ts'

/** What a caller may choose as its request's id: enough for any tracing system, nothing that could forge a log line. */
const REQUEST_ID = /^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$/
const KNOWN_METHODS: ReadonlySet<string> = new Set(['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS'])

export function frameRequests(app: App, { core, clock, log, metrics }: HttpDeps): void {
  app.use(
    createMiddleware<AppEnv>(async (context, next) => {
      const startMs = clock.nowMs()
      const given = context.req.header('x-request-id')
      const requestId = given !== undefined && REQUEST_ID.test(given) ? given : newId('req')
      context.set('requestId', requestId)
      core.tick()
      await next()
      const { method, path } = context.req
      const { status } = context.res
      const durationMs = Math.max(0, clock.nowMs() - startMs)
      setHeaders(context.res, requestId)
      log.info('request', { method, path, status, ms: durationMs, request_id: requestId })
      const route = status === 404 || status === 405 ? 'none' : routePath(context, -1)
      metrics.count(KNOWN_METHODS.has(method) ? method : 'other', route, status, durationMs)
    }),
  )
  app.use(
    methodNotAllowed({
      app,
      onMethodNotAllowed: (context, methods) => {
        context.header('Allow', methods.join(', '))
        const { method, path } = context.req
        return problemResponse(
          context,
          new AppError('method_not_allowed', `${path} has no method ${method}, only ${methods.join(', ')}.`),
        )
      },
    }),
  )
  app.notFound((context) =>
    problemResponse(
      context,
      new AppError('not_found', `There is nothing at ${context.req.path}.`, {
        hint: 'See /docs for what the API offers.',
      }),
    ),
  )
  app.onError((error, context) => problemResponse(context, asAppError(error, log, context.get('requestId'))))
}

/** Pages set a policy and a cache of their own; an answer of the API is private and of this moment. */
function setHeaders(response: Response, requestId: string): void {
  const headers = {
    'X-Request-Id': requestId,
    'X-Content-Type-Options': 'nosniff',
    'Referrer-Policy': 'no-referrer',
    'X-Frame-Options': 'DENY',
  }
  for (const [name, value] of Object.entries(headers)) response.headers.set(name, value)
  if (!response.headers.has('cache-control')) response.headers.set('Cache-Control', 'no-store')
  if (!response.headers.has('content-security-policy'))
    response.headers.set('Content-Security-Policy', "default-src 'none'; frame-ancestors 'none'")
}
