// Portable: Web APIs only.
//
// The whole HTTP interface as one Hono app: the same on Node, Deno and workerd. It holds no state but counters, and
// decides nothing: it checks, calls the core or the relay, and puts their answers into words of HTTP.
import { OpenAPIHono } from '@hono/zod-openapi'
import type { Hono } from 'hono'
import type { Core } from '../core/core.ts'
import type { Clock, Log } from '../core/ports.ts'
import type { Relay } from '../core/relay.ts'
import { adminRoutes } from './admin.routes.ts'
import { agentCallRoutes } from './agent-calls.routes.ts'
import { agentRoutes } from './agents.routes.ts'
import { createBodyReader } from './body.ts'
import type { App, AppEnv, HttpDeps } from './context.ts'
import { jobRoutes } from './jobs.routes.ts'
import { NO_MAXIMA, type Maxima } from './maxima.ts'
import { createRequestMetrics } from './metrics.ts'
import { documentRoutes } from './openapi.ts'
import type { Platform } from './platform.ts'
import { frameRequests } from './request-frame.ts'
import { streamRoute } from './stream.routes.ts'
import { systemRoutes } from './system.routes.ts'
import { updateRoutes } from './updates.routes.ts'

/** PROTOCOL 3: a comment or blank line every 15 s of silence. */
const KEEP_ALIVE_MS = 15_000

export interface AppOptions {
  readonly core: Core
  readonly relay: Relay
  readonly clock: Clock
  readonly log: Log
  readonly platform: Platform
  readonly maxima?: Maxima
  readonly maxBodyBytes?: number
  readonly keepAliveMs?: number
  /** Pages served beside the API, such as the console at `/`. */
  readonly pages?: Hono
}

export function createApp(options: AppOptions): App {
  const deps: HttpDeps = {
    core: options.core,
    relay: options.relay,
    clock: options.clock,
    log: options.log,
    platform: options.platform,
    maxima: options.maxima ?? NO_MAXIMA,
    body: createBodyReader(options.maxBodyBytes),
    metrics: createRequestMetrics(),
    keepAliveMs: options.keepAliveMs ?? KEEP_ALIVE_MS,
  }
  const app: App = new OpenAPIHono<AppEnv>()
  frameRequests(app, deps)
  jobRoutes(app, deps)
  updateRoutes(app, deps)
  streamRoute(app, deps)
  // Before /v1/agents/{id}: "self" is no agent's id.
  agentCallRoutes(app, deps)
  agentRoutes(app, deps)
  adminRoutes(app, deps)
  systemRoutes(app, deps)
  documentRoutes(app)
  if (options.pages) app.route('/', options.pages)
  return app
}
