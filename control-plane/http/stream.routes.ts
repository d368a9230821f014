// Portable: Web APIs only.
//
// The WebSocket (PROTOCOL 4): replay from the cursor, then live. A browser cannot see why an upgrade failed, so it is
// always accepted and every refusal is a close code. What a client sends is ignored, but for its word of how much has arrived
// where a runtime needs that (workerd).
import { z } from '@hono/zod-openapi'
import type { WSContext, WSEvents } from 'hono/ws'
import { AppError } from '../../shared/errors.ts'
import { isName } from '../../shared/ids.ts'
import { parseCursor } from '../../shared/position.ts'
import type { JobKey } from '../core/ports.ts'
import type { FrameSink } from '../core/relay.ts'
import { authenticate, authorize, offeredKey } from './auth.ts'
import type { App, AppContext, HttpDeps } from './context.ts'
import { jobKeyOf } from './jobs.routes.ts'
import { asAppError } from './problem.ts'
import { idParam } from './schemas.ts'

const PATH = '/v1/jobs/:id/stream'
/** A client that does not read never answers a close frame: it is cut off then. */
const CLOSE_GRACE_MS = 5_000
/** A close frame holds 123 bytes of reason. */
const MAX_REASON_BYTES = 123

type Admission =
  | { readonly kind: 'admitted'; readonly key: JobKey; readonly after: number }
  | { readonly kind: 'refused'; readonly code: number; readonly reason: string }

export function streamRoute(app: App, deps: HttpDeps): void {
  describeRoute(app)
  app.get(
    PATH,
    async (context, next) => {
      if (context.req.header('upgrade')?.toLowerCase() === 'websocket') return next()
      throw new AppError('bad_request', 'This address speaks WebSocket: the request must ask for that upgrade.', {
        hint: 'Connect with a WebSocket client, or read /updates with Accept: application/x-ndjson.',
      })
    },
    deps.platform.upgradeWebSocket(async (context) => serveSocket(deps, await admit(deps, context as AppContext))),
  )
}

function describeRoute(app: App): void {
  app.openAPIRegistry.registerPath({
    method: 'get',
    path: '/v1/jobs/{id}/stream',
    tags: ['Jobs'],
    summary: 'Follow a job over a WebSocket',
    description:
      'Replay from the cursor, then live. Text messages hold one frame, or a JSON array of frames. The upgrade is always ' +
      'accepted; errors are close codes: 1000 done, 1008 authentication, 1011 server error, 1013 try again, 4400 bad ' +
      'cursor, 4404 no such job, 4408 too slow. Browsers offer the subprotocols ["dray.v1", "bearer.<token>"]. A client ' +
      'may send {"received": <characters since it connected>}; on workerd one that is 16 MiB behind is too slow.',
    security: [{ bearer: [] }],
    request: { params: idParam, query: z.object({ after: z.string().optional() }) },
    responses: { 101: { description: 'The WebSocket' } },
  })
}

async function admit({ core, log }: HttpDeps, context: AppContext): Promise<Admission> {
  const refused = (code: number, reason: string): Admission => ({ kind: 'refused', code, reason })
  try {
    const principal = await authenticate(core, offeredKey(context.req.raw.headers))
    authorize(principal, 'client')
    const id = context.req.param('id') ?? ''
    if (!isName(id)) return refused(4404, 'no such job')
    const after = readAfter(new URL(context.req.url).searchParams)
    if (after === undefined) return refused(4400, 'bad cursor')
    return { kind: 'admitted', key: jobKeyOf(principal, { id }), after }
  } catch (error) {
    const { code } = asAppError(error, log, context.get('requestId'))
    if (code === 'unauthenticated' || code === 'forbidden') return refused(1008, code)
    return code === 'unavailable' ? refused(1013, 'try again') : refused(1011, 'server error')
  }
}

function readAfter(query: URLSearchParams): number | undefined {
  const isKnown = [...query.keys()].every((name) => name === 'after')
  const values = query.getAll('after')
  return isKnown && values.length <= 1 ? parseCursor(values[0] ?? '0') : undefined
}

function serveSocket(deps: HttpDeps, admission: Admission): WSEvents {
  let end = (): void => undefined
  return {
    onOpen(_event, socket) {
      if (admission.kind === 'refused') {
        end = closeSocket(deps, socket, admission.code, admission.reason)
        return
      }
      end = follow(deps, socket, admission)
    },
    onClose: () => end(),
    onError: () => end(),
  }
}

/** Returns what ends it, whoever began the end. */
function follow(deps: HttpDeps, socket: WSContext, { key, after }: Admission & { kind: 'admitted' }): () => void {
  const { relay, platform } = deps
  const stopKeepAlive = platform.keepAlive(socket)
  let stopClosing = (): void => undefined
  const sink: FrameSink = {
    send: (batch) => socket.send(batch.text()),
    bufferedBytes: () => platform.bufferedBytes(socket),
    close(code, reason) {
      stopKeepAlive()
      stopClosing = closeSocket(deps, socket, code, reason)
    },
  }
  const detach = relay.attach(key, { after, sink, stateFrames: true })
  return () => {
    stopKeepAlive()
    stopClosing()
    detach()
  }
}

/** Sends the close frame; returns what calls the cutting off, which is for clients that never answer it. */
function closeSocket({ clock, platform }: HttpDeps, socket: WSContext, code: number, reason: string): () => void {
  socket.close(code, shortened(reason))
  return clock.after(CLOSE_GRACE_MS, () => platform.terminate(socket))
}

function shortened(reason: string): string {
  const bytes = new TextEncoder().encode(reason)
  if (bytes.byteLength <= MAX_REASON_BYTES) return reason
  // The cut may fall inside a character: the decoder's replacement for that is dropped.
  return new TextDecoder().decode(bytes.slice(0, MAX_REASON_BYTES - 3)).replace(/\ufffd$/, '')
}
