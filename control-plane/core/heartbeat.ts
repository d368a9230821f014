// Portable: Web APIs only.
//
// The level-triggered beat: the agent says all that it holds, the answer says all that is wanted. Whatever was lost,
// repeated or late, two beats later both sides agree.
import type { HeartbeatAnswer, HeartbeatBody, HeldAttempt, WantedAttempt } from '../../shared/agent-protocol.ts'
import { AppError } from '../../shared/errors.ts'
import type { Assignment, JobRecord } from '../../shared/job.ts'
import { supersededError } from './agent-calls.ts'
import { applyEvent } from './apply-event.ts'
import type { AgentCall, BeatCall } from './core.ts'
import type { CoreContext } from './deps.ts'
import { beatsPerJwt } from './jwt-pace.ts'
import type { JobKey } from './ports.ts'
import { takeOver } from './take-over.ts'

export async function heartbeat(core: CoreContext, beating: BeatCall, body: HeartbeatBody): Promise<HeartbeatAnswer> {
  const { config } = core
  const beaten = await core.store.recordBeat({
    agent: beating.agent,
    session: beating.session,
    beat: body.beat,
    bootId: body.boot_id,
    held: body.attempts,
    capacity: body.capacity,
    posture: body.posture,
    leaving: body.draining ?? false,
    leaseMs: config.leaseMs,
  })
  if (beaten.kind === 'superseded') throw supersededError(beating.session)
  if (beaten.kind === 'gone')
    throw new AppError('unauthenticated', 'No agent has this key.', { hint: 'Join again with a new join token.' })
  const call = { agent: beaten.agent, session: beating.session }
  const held = new Map(body.attempts.map((attempt) => [keyOf(attempt.tenant, attempt.job, attempt.attempt), attempt]))
  const wanted: WantedAttempt[] = []
  for (const record of beaten.jobs) wanted.push(...(await settle(core, call, body, record, held)))
  if (beaten.changed) core.pokeScheduler()
  const renews = body.beat === 1 || body.beat % beatsPerJwt(config) === 0
  return {
    lease_seconds: config.leaseMs / 1000,
    next_beat_seconds: config.leaseMs / 3000,
    cordoned: beaten.agent.cordoned,
    draining: beaten.agent.draining,
    nats_jwt: renews ? await core.bus.mintAgentJwt(call.agent.id, beaten.agent.nkey, config.natsJwtSeconds) : undefined,
    attempts: [...wanted, ...unknownHeld(beaten.jobs, body.attempts)],
  }
}

function keyOf(tenant: string, job: string, attempt: number): string {
  return `${tenant}/${job}/${attempt}`
}

/** What is wanted of one job's attempts here, after this beat has moved the row. */
async function settle(
  core: CoreContext,
  call: AgentCall,
  body: HeartbeatBody,
  record: JobRecord,
  held: ReadonlyMap<string, HeldAttempt>,
): Promise<WantedAttempt[]> {
  const { state } = record
  const key = { tenant: state.tenant, job: state.id }
  const mine = state.assignment?.agent === call.agent.id ? state.assignment : null
  const wanted: WantedAttempt[] = []
  for (const one of body.attempts) {
    if (one.tenant !== key.tenant || one.job !== key.job || one.attempt === mine?.attempt) continue
    if (!isBeingPublished(record, one, call.agent.id)) wanted.push({ ...key, attempt: one.attempt, want: 'stop' })
  }
  if (!mine) return wanted
  const holds = held.get(keyOf(key.tenant, key.job, mine.attempt))
  if (mine.session === null) wanted.push({ ...key, attempt: mine.attempt, image: record.spec.image, want: 'run' })
  else if (holds) wanted.push(await confirm(core, call, await followed(core, call, body, record, holds), holds))
  else await dropIfGone(core, call, body, key, record, mine)
  return wanted
}

/** The agent still holds an attempt that it finished: its last updates are on their way. */
function isBeingPublished(record: JobRecord, held: HeldAttempt, agent: string): boolean {
  const row = record.attempts.find(({ attempt }) => attempt === held.attempt)
  return held.phase === 'finished' && row?.agent === agent && row.updates !== null
}

/** Of a restored backup the row may name an older process; a position tells that this one has its grant. */
async function followed(
  core: CoreContext,
  call: AgentCall,
  body: HeartbeatBody,
  record: JobRecord,
  { tenant, job, attempt, n }: HeldAttempt,
): Promise<JobRecord> {
  if (record.state.assignment?.session === call.session || n === 0) return record
  return (await takeOver(core, call, { tenant, job }, { attempt, beat: body.beat })) ?? record
}

/** The row says that this agent has it, and it does: renew it, and take over how far it has come. */
async function confirm(
  core: CoreContext,
  call: AgentCall,
  record: JobRecord,
  holds: HeldAttempt,
): Promise<WantedAttempt> {
  const key = { tenant: record.state.tenant, job: record.state.id }
  const { attempt } = holds
  const mine = record.state.assignment
  const who = { agent: call.agent.id, session: call.session, attempt }
  if (mine?.session === call.session) {
    if (record.state.phase === 'reconnecting')
      await applyEvent(core, key, { event: { type: 'renewed', ...who } }, record)
    if (holds.phase !== 'finished' && holds.phase !== mine.heldPhase)
      await applyEvent(core, key, { event: { type: 'reported', ...who, phase: holds.phase } })
  }
  const { cancel } = record.state
  return cancel
    ? { ...key, attempt, image: record.spec.image, want: 'cancel', grace_seconds: cancel.grace_seconds }
    : { ...key, attempt, image: record.spec.image, want: 'run' }
}

/** A beat later than the claim that does not list the attempt: whatever ran it is gone. */
async function dropIfGone(
  core: CoreContext,
  call: AgentCall,
  body: HeartbeatBody,
  key: JobKey,
  record: JobRecord,
  mine: Assignment,
): Promise<void> {
  if (mine.session === call.session && body.beat <= mine.claimBeat) return
  const reason = 'its agent no longer holds it'
  const event = { type: 'lapsed', attempt: mine.attempt, reason } as const
  await applyEvent(
    core,
    key,
    { event, reason, guard: { kind: 'session', agent: call.agent.id, session: call.session } },
    record,
  )
}

/** Attempts of jobs that the database does not know at all (a restored backup, another database): they do not count. */
function unknownHeld(jobs: readonly JobRecord[], held: readonly HeldAttempt[]): WantedAttempt[] {
  const known = new Set(jobs.map(({ state }) => `${state.tenant}/${state.id}`))
  return held
    .filter(({ tenant, job }) => !known.has(`${tenant}/${job}`))
    .map(({ tenant, job, attempt }) => ({ tenant, job, attempt, want: 'stop' }))
}
