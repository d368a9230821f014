// Portable: Web APIs only.
//
// What operators see of the fleet and do with it. For admins only: an agent's page names jobs of every tenant.
import type { App, HttpDeps } from './context.ts'
import { serve } from './endpoint.ts'
import { agentShape, emptyBody, idParam, listOf, pageQuery } from './schemas.ts'

const ACTIONS = [
  { action: 'cordon', summary: 'Give an agent no new work' },
  { action: 'uncordon', summary: 'Give an agent work again; ends a drain too' },
  { action: 'drain', summary: 'Give an agent no new work; its jobs go on to their ends' },
] as const

export function agentRoutes(app: App, deps: HttpDeps): void {
  readRoutes(app, deps)
  for (const action of ACTIONS) actionRoute(app, deps, action)
  deleteRoute(app, deps)
}

function readRoutes(app: App, deps: HttpDeps): void {
  const { core } = deps
  serve(
    app,
    deps,
    {
      method: 'get',
      path: '/v1/agents',
      tag: 'Fleet',
      summary: 'List agents',
      access: 'admin',
      query: pageQuery,
      answers: { 200: { description: 'One page', schema: listOf(agentShape) } },
    },
    async ({ context, query }) =>
      context.json(await core.listAgents({ limit: query.limit, cursor: query.cursor ?? null })),
  )
  serve(
    app,
    deps,
    {
      method: 'get',
      path: '/v1/agents/{id}',
      tag: 'Fleet',
      summary: 'Show an agent',
      description: 'Capacity, GPUs, use, running jobs, posture, version, labels and when it was last seen.',
      access: 'admin',
      params: idParam,
      answers: { 200: { description: 'The agent', schema: agentShape } },
    },
    async ({ context, params }) => context.json(await core.showAgent(params.id)),
  )
}

function actionRoute(app: App, deps: HttpDeps, { action, summary }: (typeof ACTIONS)[number]): void {
  serve(
    app,
    deps,
    {
      method: 'post',
      path: `/v1/agents/{id}/${action}`,
      tag: 'Fleet',
      summary,
      access: 'admin',
      params: idParam,
      body: emptyBody,
      isBodyOptional: true,
      answers: { 202: { description: 'The agent hears it with its next heartbeat', schema: agentShape } },
    },
    async ({ context, params }) => context.json(await deps.core.setAgent(params.id, action), 202),
  )
}

function deleteRoute(app: App, deps: HttpDeps): void {
  serve(
    app,
    deps,
    {
      method: 'delete',
      path: '/v1/agents/{id}',
      tag: 'Fleet',
      summary: 'Remove an agent',
      description: 'Its key and its NATS access end; its jobs lapse.',
      access: 'admin',
      params: idParam,
      answers: { 202: { description: 'It is gone' } },
    },
    async ({ context, params }) => {
      await deps.core.deleteAgent(params.id)
      return context.body(null, 202)
    },
  )
}
