// Portable: Web APIs only.
//
// What a job said, over plain HTTP: a page of history as JSON, or a stream that lasts until the job's end, as NDJSON or
// server-sent events, as the Accept header asks.
//
// Last-Event-ID outranks `after`: a browser's EventSource comes back to the address that it first had, whose `after` is
// old, with the id of the last event that it saw. Past the terminal update a stream has nothing to say: 204, which also
// tells EventSource to stop coming back.
import { z } from '@hono/zod-openapi'
import { AppError } from '../../shared/errors.ts'
import { isTerminal, type JobView } from '../../shared/job.ts'
import { attemptOf, parseCursor, terminalSeq } from '../../shared/position.ts'
import type { JobKey } from '../core/ports.ts'
import { preferredType } from './accept.ts'
import type { App, AppContext, HttpDeps } from './context.ts'
import { serve } from './endpoint.ts'
import { createFrameStream, NDJSON, SERVER_SENT_EVENTS, type StreamFormat } from './frame-stream.ts'
import { jobKeyOf } from './jobs.routes.ts'
import { historyShape, idParam, wholeNumber } from './schemas.ts'

const JSON_TYPE = 'application/json'
const TYPES = [JSON_TYPE, NDJSON.contentType, SERVER_SENT_EVENTS.contentType] as const
const DEFAULT_LIMIT = 1_000
const MAX_LIMIT = 10_000

const updatesQuery = z.strictObject({
  after: z.string().optional().openapi({ type: 'integer', minimum: 0, default: 0 }),
  limit: wholeNumber(1, MAX_LIMIT, DEFAULT_LIMIT),
})

interface Request {
  readonly context: AppContext
  readonly key: JobKey
  readonly after: number
  readonly limit: number
}

export function updateRoutes(app: App, deps: HttpDeps): void {
  serve(
    app,
    deps,
    {
      method: 'get',
      path: '/v1/jobs/{id}/updates',
      tag: 'Jobs',
      summary: 'Read what a job said',
      description:
        'JSON: one page of what is stored. NDJSON and server-sent events: a stream until the job ends, or until `limit` ' +
        'frames where it is given; Last-Event-ID outranks `after`; 204 where the cursor is at the end.',
      access: 'client',
      params: idParam,
      query: updatesQuery,
      headers: z.object({ 'last-event-id': z.string().optional() }),
      answers: {
        200: {
          description: 'Updates, gaps and the terminal update, in order',
          schema: historyShape,
          contentTypes: TYPES,
        },
        204: { description: 'A stream was asked for whose end the cursor has already seen' },
      },
    },
    async ({ context, principal, params, query }) => {
      const type = preferredType(context.req.header('accept'), TYPES)
      const key = jobKeyOf(principal, params)
      const after = readCursor(cursorText(context, type, query.after))
      const request = { context, key, after, limit: query.limit }
      context.header('Vary', 'Accept')
      if (type === JSON_TYPE) return history(deps, request)
      const isLimited = new URL(context.req.url).searchParams.has('limit')
      return stream(deps, request, type === NDJSON.contentType ? NDJSON : SERVER_SENT_EVENTS, isLimited)
    },
  )
}

function cursorText(context: AppContext, type: string, after: string | undefined): string {
  const lastEventId = type === SERVER_SENT_EVENTS.contentType ? context.req.header('last-event-id') : undefined
  return lastEventId || (after ?? '0')
}

function readCursor(text: string): number {
  const cursor = parseCursor(text)
  if (cursor === undefined)
    throw new AppError('bad_request', `The cursor is ${JSON.stringify(text)}, but must be a decimal whole number.`)
  return cursor
}

/** The relay gives JSON texts: they are put together, not read again. */
async function history({ relay }: HttpDeps, { context, key, after, limit }: Request): Promise<Response> {
  const { updates, cursor, done } = await relay.history(key, after, limit, context.req.raw.signal)
  context.header('Content-Type', JSON_TYPE)
  return context.body(`{"updates":[${updates.join(',')}],"cursor":${cursor},"done":${done}}`)
}

async function stream(deps: HttpDeps, request: Request, format: StreamFormat, isLimited: boolean): Promise<Response> {
  const { core, relay, clock, platform, log, keepAliveMs } = deps
  const { context, key, after, limit } = request
  // Once a stream has begun it can only break off: what can be refused is refused before.
  const job = await core.showJob(key)
  checkCursor(job, after)
  if (isTerminal(job.status) && after >= terminalSeq(job.attempt)) return context.body(null, 204)
  context.header('Content-Type', format.contentType)
  if (context.req.method === 'HEAD') return context.body(null)
  return context.body(
    createFrameStream({
      format,
      clock,
      keepAliveMs,
      limit: isLimited ? limit : null,
      attach: (sink) => relay.attach(key, { after, sink, stateFrames: false }),
      onCut(reason) {
        log.info('a stream was cut off', { request_id: context.get('requestId'), reason })
        return platform.cutOff(context)
      },
    }),
  )
}

function checkCursor(job: JobView, after: number): void {
  if (attemptOf(after) > job.attempt)
    throw new AppError(
      'bad_request',
      `The cursor ${after} is of attempt ${attemptOf(after)}, but job "${job.id}" is at ${job.attempt}.`,
    )
}
