// Portable: Web APIs only.
//
// What the parts of the HTTP layer are given, and what a request carries from one middleware to the next.
import type { OpenAPIHono } from '@hono/zod-openapi'
import type { Context } from 'hono'
import type { JobRecord } from '../../shared/job.ts'
import type { Core } from '../core/core.ts'
import type { AgentRecord, Clock, KeyRecord, Log } from '../core/ports.ts'
import type { Relay } from '../core/relay.ts'
import type { BodyReader } from './body.ts'
import type { RequestMetrics } from './metrics.ts'
import type { Maxima } from './maxima.ts'
import type { Platform } from './platform.ts'

export type Principal =
  | { readonly kind: 'key'; readonly key: KeyRecord }
  | { readonly kind: 'agent'; readonly agent: AgentRecord; readonly job: JobRecord | null }
  /** A key of an agent's form: the call reads whose it is. */
  | { readonly kind: 'unread_agent'; readonly keyHash: string }

export interface AppEnv {
  Variables: {
    requestId: string
  }
}

export type App = OpenAPIHono<AppEnv>
export type AppContext = Context<AppEnv>

export interface HttpDeps {
  readonly core: Core
  readonly relay: Relay
  readonly clock: Clock
  readonly log: Log
  readonly platform: Platform
  readonly maxima: Maxima
  readonly body: BodyReader
  readonly metrics: RequestMetrics
  /** A comment or blank line after this much silence on a stream. */
  readonly keepAliveMs: number
}
