// Portable: Web APIs only.
//
// Liveness, readiness with reasons, and metrics. Liveness asks nobody: a control plane whose database is away must not be
// restarted for that.
import { z } from '@hono/zod-openapi'
import { AppError } from '../../shared/errors.ts'
import type { App, HttpDeps } from './context.ts'
import { serve } from './endpoint.ts'

export function systemRoutes(app: App, deps: HttpDeps): void {
  healthRoutes(app, deps)
  metricsRoute(app, deps)
}

function healthRoutes(app: App, deps: HttpDeps): void {
  serve(
    app,
    deps,
    {
      method: 'get',
      path: '/healthz',
      tag: 'System',
      summary: 'Is this process alive?',
      access: 'public',
      answers: { 200: { description: 'It is', schema: z.object({ status: z.literal('ok') }) } },
    },
    ({ context }) => context.json({ status: 'ok' }),
  )
  serve(
    app,
    deps,
    {
      method: 'get',
      path: '/readyz',
      tag: 'System',
      summary: 'Does everything that this process needs answer?',
      description: '503 names the reasons. With NATS away it is not ready, yet jobs are still accepted.',
      access: 'public',
      answers: {
        200: { description: 'It does', schema: z.object({ status: z.literal('ready'), reasons: z.array(z.string()) }) },
      },
    },
    async ({ context }) => {
      const reasons = await deps.core.readiness()
      if (reasons.length === 0) return context.json({ status: 'ready', reasons })
      throw new AppError('unavailable', `Not ready: ${reasons.join('; ')}.`, {
        details: { reasons },
        hint: 'Look at what the reasons name; this answer changes by itself once it is back.',
      })
    },
  )
}

function metricsRoute(app: App, deps: HttpDeps): void {
  serve(
    app,
    deps,
    {
      method: 'get',
      path: '/metrics',
      tag: 'System',
      summary: 'Prometheus metrics',
      access: 'admin',
      answers: { 200: { description: 'Text exposition format', schema: z.string(), contentTypes: ['text/plain'] } },
    },
    async ({ context }) => {
      const text = deps.metrics.text(await deps.core.metrics(), deps.relay.clientCount())
      context.header('Content-Type', 'text/plain; version=0.0.4; charset=utf-8')
      return context.body(text)
    },
  )
}
