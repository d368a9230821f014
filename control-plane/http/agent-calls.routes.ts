// Portable: Web APIs only.
//
// What agents call (PROTOCOL 3): join with a token, then heartbeat, claim, finish and leave with the key that it gave.
// Each call names its process's session; which sessions and attempts count is the core's to say.
import { z } from '@hono/zod-openapi'
import { SESSION_HEADER } from '../../shared/agent-protocol.ts'
import { AppError } from '../../shared/errors.ts'
import { isName } from '../../shared/ids.ts'
import type { AgentCall, BeatCall } from '../core/core.ts'
import type { App, AppContext, HttpDeps, Principal } from './context.ts'
import { serve } from './endpoint.ts'
import { claimBody, emptyBody, finishBody, heartbeatBody, jobParams, joinBody } from './schemas.ts'

const tag = 'Agent calls'
const headers = z.object({
  [SESSION_HEADER]: z.string().meta({ description: 'Random name of the calling process; the newest one counts.' }),
})
const grantShape = z.looseObject({}).meta({ id: 'Grant' })
const wantedShape = z.looseObject({}).meta({ id: 'HeartbeatAnswer' })
const joinedShape = z.looseObject({ agent: z.string(), key: z.string() }).meta({ id: 'JoinAnswer' })

export function agentCallRoutes(app: App, deps: HttpDeps): void {
  joinRoute(app, deps)
  selfRoutes(app, deps)
  attemptRoutes(app, deps)
}

function sessionOf(context: AppContext): string {
  const session = context.req.header(SESSION_HEADER)
  if (session !== undefined && isName(session)) return session
  throw new AppError(
    'bad_request',
    `The header "${SESSION_HEADER}" is ${session === undefined ? 'missing' : 'not a name'}: each agent call names the session of its caller.`,
  )
}

function callOf(context: AppContext, principal: Principal | null): AgentCall {
  if (principal?.kind !== 'agent') throw new AppError('forbidden', 'This call needs the key of an agent.')
  return { agent: principal.agent, job: principal.job, session: sessionOf(context) }
}

function beatCallOf(context: AppContext, principal: Principal | null): BeatCall {
  if (principal?.kind !== 'unread_agent') throw new AppError('forbidden', 'This call needs the key of an agent.')
  return { agent: { keyHash: principal.keyHash }, session: sessionOf(context) }
}

function joinRoute(app: App, deps: HttpDeps): void {
  serve(
    app,
    deps,
    {
      method: 'post',
      path: '/v1/agents',
      tag,
      summary: 'Join the fleet',
      description: 'The join token is the credential. The same nkey again: the same agent with a new key.',
      access: 'public',
      headers,
      body: joinBody,
      answers: { 200: { description: "The agent's id, key and NATS access", schema: joinedShape } },
    },
    async ({ context, body }) => context.json(await deps.core.joinAgent(body, sessionOf(context))),
  )
}

function selfRoutes(app: App, deps: HttpDeps): void {
  serve(
    app,
    deps,
    {
      method: 'post',
      path: '/v1/agents/self/heartbeat',
      tag,
      summary: 'Say what is held, hear what is wanted',
      access: 'agent',
      keyIsRead: 'by_call',
      headers,
      body: heartbeatBody,
      answers: { 200: { description: 'The full list of what is wanted', schema: wantedShape } },
    },
    async ({ context, principal, body }) =>
      context.json(await deps.core.heartbeat(beatCallOf(context, principal), body)),
  )
  serve(
    app,
    deps,
    {
      method: 'post',
      path: '/v1/agents/self/leave',
      tag,
      summary: 'Say goodbye',
      access: 'agent',
      headers,
      body: emptyBody,
      isBodyOptional: true,
      answers: { 200: { description: 'The lease has ended', schema: z.object({}) } },
    },
    async ({ context, principal }) => {
      await deps.core.leave(callOf(context, principal))
      return context.json({})
    },
  )
}

function attemptRoutes(app: App, deps: HttpDeps): void {
  const path = '/v1/agents/self/jobs/{tenant}/{job}'
  serve(
    app,
    deps,
    {
      method: 'post',
      path: `${path}/claim`,
      tag,
      summary: 'Claim an attempt',
      access: 'agent',
      keyIsRead: 'with_job',
      params: jobParams,
      headers,
      body: claimBody,
      answers: { 200: { description: 'The grant: what to run and where the stored updates end', schema: grantShape } },
    },
    async ({ context, principal, params, body }) =>
      context.json(await deps.core.claim(callOf(context, principal), params, body)),
  )
  serve(
    app,
    deps,
    {
      method: 'post',
      path: `${path}/finish`,
      tag,
      summary: 'Say how an attempt ended',
      access: 'agent',
      keyIsRead: 'with_job',
      params: jobParams,
      headers,
      body: finishBody,
      answers: { 200: { description: 'It is in the database', schema: z.object({}) } },
    },
    async ({ context, principal, params, body }) => {
      await deps.core.finish(callOf(context, principal), params, body)
      return context.json({})
    },
  )
}
