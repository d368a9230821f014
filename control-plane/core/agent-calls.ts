// Portable: Web APIs only.
//
// What agents ask: join, claim, finish, leave. The fence is here: an attempt that no longer counts is answered
// `fenced`, a process that is no longer its agent's newest `superseded`, and neither changes anything.
import type { ClaimBody, FinishBody, Grant, JoinAnswer, JoinBody, Resume } from '../../shared/agent-protocol.ts'
import { AGENT_PROTOCOL } from '../../shared/agent-protocol.ts'
import { AppError } from '../../shared/errors.ts'
import { newId, newSecret, sha256Hex } from '../../shared/ids.ts'
import type { JobRecord, JobState } from '../../shared/job.ts'
import { applyEvent, type Applied, type Step } from './apply-event.ts'
import type { AgentCall } from './core.ts'
import type { CoreContext } from './deps.ts'
import type { JobKey } from './ports.ts'
import { takeOver } from './take-over.ts'

/** A result that is larger travels as an update and is named by its seq; the slack covers how agents count it. */
const MAX_RESULT_CHARACTERS = 300_000
const NOTHING_STORED: Resume = { n: 0, stdout_lines: 0, stderr_lines: 0, subject_seq: 0, session: null }

export async function joinAgent(core: CoreContext, body: JoinBody, session: string): Promise<JoinAnswer> {
  // PROTOCOL, head: agent N works with control plane N and N-1, and the reverse.
  if (body.protocol > AGENT_PROTOCOL + 1)
    throw new AppError(
      'conflict',
      `Cannot join: the agent speaks protocol ${body.protocol}, this control plane ${AGENT_PROTOCOL}. Upgrade the control plane first.`,
    )
  const id = newId('agt')
  const key = newSecret('agent')
  const joined = await core.store.joinAgent(
    {
      id,
      name: body.name ?? id,
      pool: body.pool,
      labels: body.labels,
      nkey: body.nkey,
      keyHash: await sha256Hex(key),
      version: body.version,
      protocol: body.protocol,
      capacity: body.capacity,
      posture: body.posture,
      bootId: body.boot_id,
      session,
    },
    await sha256Hex(body.join_token),
  )
  if (joined === 'bad_token')
    throw new AppError('unauthenticated', 'Cannot join: the join token is unknown or has expired.', {
      hint: 'Make a new one with "dray token".',
    })
  const jwt = await core.bus.mintAgentJwt(joined.id, body.nkey, core.config.natsJwtSeconds)
  const { natsCa, leaseMs } = core.config
  const tls = natsCa === undefined ? undefined : { ca: natsCa }
  return { agent: joined.id, key, nats: { urls: core.bus.agentUrls(), jwt, tls }, lease_seconds: leaseMs / 1000 }
}

export async function claim(core: CoreContext, call: AgentCall, key: JobKey, body: ClaimBody): Promise<Grant> {
  requireCurrent(call)
  const { agent, session } = call
  const step: Step = {
    event: { type: 'claimed', agent: agent.id, session, attempt: body.attempt, beat: body.beat, adopt: body.adopt },
    attempt: { attempt: body.attempt },
    guard: { kind: 'session', agent: agent.id, session },
  }
  const applied = await applyEvent(core, key, step, call.job ?? undefined)
  const { record, state } = granted(applied, key, body, agent.id)
  // The first claim of an attempt: nobody can have published it before, so NATS need not be asked, nor be there.
  const isFirst = applied.kind === 'applied' && applied.before.state.phase === 'assigned'
  if (isFirst) return grantOf(core, record, state, NOTHING_STORED)
  const stored = await core.bus.readResume(agent.id, { ...key, attempt: body.attempt })
  // The process that published is asking: it remembers better than its last beat tells. The row is a bad witness of that:
  // it names a new process from its first claim on, also where no answer to that one came through.
  const isNamed = record.attempts.some((row) => row.attempt === body.attempt && row.session === session)
  const remembers = stored.session === session || (body.publishing ?? isNamed)
  return grantOf(core, record, state, remembers ? stored : behindTold(stored, call, key, body.attempt))
}

/** Room for what the dead process published after its last beat. */
const UNKNOWN_UPDATES = 2 ** 20

/**
 * A store that lost more than the agent's last beat told (wiped while the agent was dead) is resumed beyond all that
 * clients may have seen: they say `gap`, and at most one heartbeat of lines comes again. Source: PROTOCOL 5.
 */
function behindTold(stored: Resume, call: AgentCall, key: JobKey, attempt: number): Resume {
  const told = call.agent.held.find(
    (held) => held.tenant === key.tenant && held.job === key.job && held.attempt === attempt,
  )
  if (!told || told.n <= stored.n) return stored
  const { stdout_lines, stderr_lines } = told
  return { ...stored, n: told.n + UNKNOWN_UPDATES, stdout_lines, stderr_lines }
}

function granted(
  applied: Applied,
  key: JobKey,
  { attempt, adopt }: ClaimBody,
  agent: string,
): { record: JobRecord; state: JobState } {
  if (applied.kind === 'applied') return { record: applied.before, state: applied.state }
  if (applied.kind === 'refused' && applied.refusal === 'duplicate')
    return { record: applied.record, state: applied.record.state }
  // It has finished and is still publishing: after a lost answer or a restart it must learn where the stored updates end.
  if (applied.kind === 'refused' && adopt && hasFinished(applied.record, attempt, agent))
    return { record: applied.record, state: applied.record.state }
  throw refused(applied, 'claim', key, attempt)
}

function hasFinished(record: JobRecord, attempt: number, agent: string): boolean {
  return record.attempts.some((row) => row.attempt === attempt && row.agent === agent && row.updates !== null)
}

function grantOf(core: CoreContext, record: JobRecord, state: JobState, resume: Resume): Grant {
  return {
    spec: record.spec,
    env: {},
    secrets: {},
    limits: { output_bytes: core.config.outputBytes, line_bytes: core.config.lineBytes },
    gpus: state.assignment?.gpus ?? [],
    lost_after_seconds: record.spec.lost_after_seconds,
    cancel_requested: state.cancel !== null,
    cancel_grace_seconds: state.cancel?.grace_seconds,
    resume,
  }
}

export async function finish(core: CoreContext, call: AgentCall, key: JobKey, body: FinishBody): Promise<void> {
  requireCurrent(call)
  const { agent } = call
  if (JSON.stringify(body.result ?? null).length > MAX_RESULT_CHARACTERS)
    throw new AppError(
      'bad_request',
      `Cannot finish job "${key.job}": its result is larger than 256 KiB. Name the update that holds it: {"$update": seq}.`,
    )
  const step = finishedStep(call, body)
  let applied = await applyEvent(core, key, step, call.job ?? undefined)
  // This is the agent's newest process, and the row names an older one.
  const isRestored = applied.kind === 'refused' && applied.refusal === 'superseded'
  if (isRestored && (await takeOver(core, call, key, { attempt: body.attempt, beat: agent.beat })))
    applied = await applyEvent(core, key, step)
  if (applied.kind === 'applied' || (applied.kind === 'refused' && applied.refusal === 'duplicate')) return
  throw refused(applied, 'finish', key, body.attempt)
}

function finishedStep({ agent, session }: AgentCall, body: FinishBody): Step {
  const error = body.error ?? null
  const { attempt, exit, result, updates } = body
  return {
    event: { type: 'finished', agent: agent.id, session, attempt, exit, result, error, updates },
    attempt: {
      attempt,
      imageDigest: body.image_digest,
      startedAtMs: body.started_at === null ? null : Date.parse(body.started_at),
      finishedAtMs: Date.parse(body.finished_at),
      updates,
      exit,
      error,
    },
    guard: { kind: 'session', agent: agent.id, session },
    ...(error ? { reason: error.code } : {}),
  }
}

export async function leave(core: CoreContext, call: AgentCall): Promise<void> {
  if (!(await core.store.leaveAgent(call.agent.id, call.session))) throw supersededError(call.session)
}

function requireCurrent(call: AgentCall): void {
  // A restored database knows no current process: whoever beats first is it, so ask again after the beat.
  if (call.agent.session === '')
    throw new AppError('unavailable', `Agent "${call.agent.id}" has not beaten since the database was restored.`)
  if (call.agent.session !== call.session) throw supersededError(call.session)
}

export function supersededError(session: string): AppError {
  return new AppError('superseded', `Session "${session}" is not the newest one of its agent.`)
}

function refused(applied: Applied, action: string, key: JobKey, attempt: number): AppError {
  const why = applied.kind === 'refused' ? applied.refusal : applied.kind
  if (why === 'superseded' || why === 'guarded')
    return new AppError(
      'superseded',
      `Cannot ${action} attempt ${attempt} of job "${key.job}": a newer process of this agent holds it.`,
    )
  return new AppError('fenced', `Cannot ${action} attempt ${attempt} of job "${key.job}": it does not count (${why}).`)
}
