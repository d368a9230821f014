// What stands between an agent's calls and a control plane's core in place of http/: the routes of the agent, JSON both
// ways, problem documents, and for authentication the agent's id as its bearer key.
import { claimBodySchema, SESSION_HEADER, type FinishBody, type HeartbeatBody } from '../../shared/agent-protocol.ts'
import { AppError, problemOf } from '../../shared/errors.ts'
import type { HttpAnswer, Post } from '../../runner-agent/http-post.ts'
import type { ControlPlane } from './control-plane.ts'
import type { History } from './history.ts'
import type { Loop } from './loop.ts'
import type { Network } from './network.ts'
import { before } from './sim-bus.ts'
import type { Geography } from './geography.ts'

interface Request {
  readonly path: string
  readonly headers: Readonly<Record<string, string>>
  readonly body: string
}

/** A balancer in front of all control planes: one that has not answered its health checks for a while gets no calls. */
const UNHEALTHY_AFTER_MS = 2_000

export interface DoorWorld {
  readonly loop: Loop
  readonly net: Network
  readonly choose: Geography['choose']
  readonly history: History
  readonly planes: readonly ControlPlane[]
}

export function createHttpDoor({ loop, net, choose, history, planes }: DoorWorld): Post {
  const isHealthy = ({ proc }: ControlPlane): boolean =>
    proc.alive && !(proc.paused && loop.nowMs - proc.pausedSinceMs > UNHEALTHY_AFTER_MS)
  return (path, headers, body, signal) => {
    const healthy = planes.filter(isHealthy)
    const plane = choose(loop.current.host, healthy.length > 0 ? healthy : planes)
    return before(
      signal,
      net.call(plane.proc, () => answer(history, plane, { path, headers, body })),
    )
  }
}

async function answer(history: History, plane: ControlPlane, request: Request): Promise<HttpAnswer> {
  plane.core.tick()
  try {
    const value = await serve(history, plane, request)
    return { status: 200, text: JSON.stringify(value ?? {}) }
  } catch (error) {
    const known = error instanceof AppError ? error : new AppError('internal', String(error), { cause: error })
    const problem = problemOf(known, 'request')
    return { status: problem.status, text: JSON.stringify(problem) }
  }
}

async function serve(
  history: History,
  { core, store }: ControlPlane,
  { path, headers, body: text }: Request,
): Promise<unknown> {
  const id = (headers['authorization'] ?? '').replace('Bearer ', '')
  const session = headers[SESSION_HEADER] ?? ''
  const body: unknown = JSON.parse(text)
  if (path.endsWith('/heartbeat')) {
    // Its batch checks the key; other calls read it together with the job that they are about.
    const wanted = await core.heartbeat({ agent: { keyHash: id }, session }, body as HeartbeatBody)
    for (const { job, attempt, n } of (body as HeartbeatBody).attempts)
      history.told.push({ agent: id, job, attempt, session, n, ms: history.nowMs() })
    return wanted
  }
  const [, tenant = '', job = '', verb] = /\/jobs\/([^/]+)\/([^/]+)\/(claim|finish)$/.exec(path) ?? []
  const [agent, record] = await store.agentAndJob(id, verb ? { tenant, job } : null)
  if (!agent) throw new AppError('unauthenticated', 'The key is not known.')
  const call = { agent, job: record, session }
  if (path.endsWith('/leave')) return core.leave(call)
  if (verb === 'claim') return core.claim(call, { tenant, job }, claimBodySchema.parse(body))
  if (verb === 'finish') {
    const { attempt } = body as FinishBody
    const told = { job, attempt, session: call.session, acked: false }
    history.finishes.push(told)
    await core.finish(call, { tenant, job }, body as FinishBody)
    told.acked = true
    return {}
  }
  throw new AppError('not_found', path)
}
