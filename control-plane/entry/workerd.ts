// The control plane on Cloudflare Workers, or any workerd. A request opens what it needs and closes it; what a later
// sweep would do anyway (plans, run commands, hints) goes on after the answer. Whoever follows a job is handed to the
// job's Durable Object (job-relay-object.ts). The cron trigger sweeps for as long as it runs, because a sweep that is
// older than a lease would be blind; requests and heartbeats sweep too.
import { AppError, problemOf } from '../../shared/errors.ts'
import { isName, newId, sha256Hex } from '../../shared/ids.ts'
import { SWEEP_EVERY_MS } from '../core/create-core.ts'
import { createApp } from '../http/app.ts'
import { offeredKey } from '../http/auth.ts'
import { ConfigError } from './control-plane-config.ts'
import { elsewhereRelay } from './elsewhere-relay.ts'
import { openIsolate, openRequest, type Isolate, type RequestParts } from './workerd-parts.ts'
import type { WorkerBindings, WorkerContext } from './workerd-runtime.ts'

export { JobRelay } from './job-relay-object.ts'

/** A cron trigger comes each minute; the next one begins where this one ends. */
const CRON_RUN_MS = 58_000
/** Two sweeps must fit into a lease, or none would ever end. A longer lease costs fewer. */
const SWEEPS_PER_LEASE = 3

async function handle(request: Request, bindings: WorkerBindings, context: WorkerContext): Promise<Response> {
  let isolate: Isolate
  try {
    isolate = openIsolate(bindings)
  } catch (error) {
    return notConfigured(error)
  }
  const parts = openRequest(isolate)
  try {
    const followed = await followedJob(parts, request)
    if (followed !== null) return await bindings.RELAY.get(bindings.RELAY.idFromName(followed)).fetch(request)
    const { clock, log, platform, config } = isolate
    const app = createApp({ core: parts.core, relay: elsewhereRelay, clock, log, platform, maxima: config.maxima })
    return await app.fetch(request)
  } finally {
    context.waitUntil(parts.close())
  }
}

const FOLLOWED = /^\/v1\/jobs\/([^/]+)\/(?:stream|updates)$/

/**
 * The name of the Durable Object for this request, or null where this isolate answers: for another path, or a key that is
 * none, which the app refuses in its own words.
 */
async function followedJob({ store }: RequestParts, request: Request): Promise<string | null> {
  const id = FOLLOWED.exec(new URL(request.url).pathname)?.[1]
  const key = offeredKey(request.headers)
  if (id === undefined || !isName(id) || key === null) return null
  // The database is away: the app finds that out too, and says so by a status or a close code.
  const record = await store.keyByHash(await sha256Hex(key)).catch(() => null)
  return record && `${record.tenant}/${id}`
}

function notConfigured(error: unknown): Response {
  if (!(error instanceof ConfigError)) throw error
  console.error(error.message)
  const problem = problemOf(
    new AppError('unavailable', `This control plane is not set up: ${error.message}`),
    newId('req'),
  )
  return Response.json(problem, { status: problem.status, headers: { 'content-type': 'application/problem+json' } })
}

async function sweepForAWhile(bindings: WorkerBindings): Promise<void> {
  const isolate = openIsolate(bindings)
  const everyMs = Math.max(SWEEP_EVERY_MS, isolate.config.core.leaseMs / SWEEPS_PER_LEASE)
  const end = Date.now() + CRON_RUN_MS
  while (Date.now() < end) {
    const parts = openRequest(isolate)
    // A deployment begins with this: agents cannot publish before the stream is there.
    await parts.bus
      .tend()
      .catch((error: unknown) => isolate.log.warn('the stream was not seen to', { error: String(error) }))
    parts.core.tick()
    await parts.close()
    await new Promise((resolve) => setTimeout(resolve, everyMs))
  }
}

export default {
  fetch: handle,
  scheduled: (_event: unknown, bindings: WorkerBindings): Promise<void> => sweepForAWhile(bindings),
}
