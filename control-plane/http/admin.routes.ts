// Portable: Web APIs only.
//
// Keys and join tokens. A token is shown once, in the answer that made it; what is kept is its hash.
import { z } from '@hono/zod-openapi'
import type { KeyRecord } from '../core/ports.ts'
import type { App, HttpDeps } from './context.ts'
import { serve } from './endpoint.ts'
import { tenantOf } from './jobs.routes.ts'
import { idParam, keyShape, listOf, newJoinTokenBody, newKeyBody, newTokenShape } from './schemas.ts'

const tag = 'Administration'

export function adminRoutes(app: App, deps: HttpDeps): void {
  joinTokenRoute(app, deps)
  newKeyRoute(app, deps)
  keyRoutes(app, deps)
}

function expiry(deps: HttpDeps, seconds: number | undefined): number | null {
  return seconds === undefined ? null : deps.clock.nowMs() + seconds * 1000
}

function joinTokenRoute(app: App, deps: HttpDeps): void {
  serve(
    app,
    deps,
    {
      method: 'post',
      path: '/v1/join-tokens',
      tag,
      summary: 'Make a token that lets machines join',
      access: 'admin',
      body: newJoinTokenBody,
      isBodyOptional: true,
      answers: { 201: { description: 'The token', schema: newTokenShape } },
    },
    async ({ context, body }) => {
      const expiresAtMs = expiry(deps, body.ttl_seconds)
      return context.json(await deps.core.createJoinToken({ pool: body.pool ?? null, expiresAtMs }), 201)
    },
  )
}

function newKeyRoute(app: App, deps: HttpDeps): void {
  serve(
    app,
    deps,
    {
      method: 'post',
      path: '/v1/keys',
      tag,
      summary: 'Make a key for a tenant',
      access: 'admin',
      body: newKeyBody,
      answers: { 201: { description: 'The key', schema: newTokenShape } },
    },
    async ({ context, principal, body }) => {
      const options = {
        tenant: body.tenant ?? tenantOf(principal),
        role: body.role,
        name: body.name ?? null,
        expiresAtMs: expiry(deps, body.ttl_seconds),
      }
      const { tenant, role } = options
      return context.json({ ...(await deps.core.createKey(options)), tenant, role, name: body.name }, 201)
    },
  )
}

function keyRoutes(app: App, deps: HttpDeps): void {
  serve(
    app,
    deps,
    {
      method: 'get',
      path: '/v1/keys',
      tag,
      summary: 'List keys',
      access: 'admin',
      query: z.strictObject({}),
      answers: { 200: { description: 'All keys, without their secrets', schema: listOf(keyShape) } },
    },
    async ({ context }) => {
      const keys = await deps.core.listKeys()
      return context.json({ items: keys.map(keyView), cursor: null })
    },
  )
  serve(
    app,
    deps,
    {
      method: 'delete',
      path: '/v1/keys/{id}',
      tag,
      summary: 'End a key, at once',
      access: 'admin',
      params: idParam,
      answers: { 204: { description: 'The key is dead' } },
    },
    async ({ context, params }) => {
      await deps.core.deleteKey(params.id)
      return context.body(null, 204)
    },
  )
}

function keyView(key: KeyRecord): z.input<typeof keyShape> {
  return {
    id: key.id,
    tenant: key.tenant,
    role: key.role,
    ...(key.name === null ? {} : { name: key.name }),
    created_at: new Date(key.createdAtMs).toISOString(),
    ...(key.expiresAtMs === null ? {} : { expires_at: new Date(key.expiresAtMs).toISOString() }),
  }
}
