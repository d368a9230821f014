// What the store's tests are made of: jobs, agents, and the events that move them, through the same pure function that
// the control plane uses. Nothing here stands in for anything that we own.
import { expect } from 'vitest'
import type { AttemptFacts, Change, Guard, JobKey, JobStore, NewJob } from '../../control-plane/core/ports.ts'
import type { Capacity, HeldAttempt } from '../../shared/agent-protocol.ts'
import { newId, sha256Hex } from '../../shared/ids.ts'
import { newJobState, transition, type JobEvent } from '../../shared/job-machine.ts'
import { submitBodySchema, type SubmitBody } from '../../shared/job-spec.ts'
import type { JobRecord, JobState } from '../../shared/job.ts'

/** One store under test, and a side door to its database for what only time or a broken writer could do. */
export interface StoreUnderTest {
  readonly store: JobStore
  /** Runs one statement on a connection of its own; rejects with the database's error. */
  readonly execute: (sql: string) => Promise<void>
}

const GIB = 2 ** 30
export const CAPACITY: Capacity = { cpus: 4, memory: 8 * GIB, gpus: [], defaults: { memory: GIB, cpus: 1 } }
export const JOIN_TOKEN = 'a-join-token'
export const LEASE_MS = 60_000

export function newJob(body: SubmitBody = {}, more: Partial<NewJob> & { id?: string; tenant?: string } = {}): NewJob {
  const spec = submitBodySchema.parse(body)
  const { id = newId('job'), tenant = 'acme', ...rest } = more
  return { state: newJobState(tenant, id, spec.retries), spec, retryOf: null, idempotency: null, ...rest }
}

export async function submit(store: JobStore, body: SubmitBody = {}, more = {}): Promise<JobRecord> {
  const created = await store.createJob(newJob(body, more))
  if (created.kind !== 'created') throw new Error(`the job was not created: ${created.kind}`)
  return created.record
}

export function keyOf({ tenant, id }: JobState): JobKey {
  return { tenant, job: id }
}

export async function read(store: JobStore, state: JobState): Promise<JobRecord> {
  const record = await store.readJob(keyOf(state))
  if (!record) throw new Error(`job "${state.id}" is not there`)
  return record
}

export function changeOf(
  before: JobState,
  event: JobEvent,
  more: { guard?: Guard; attempt?: AttemptFacts; reason?: string; notBeforeMs?: number } = {},
): Change {
  const next = transition(before, event)
  if (!next.ok) throw new Error(`"${event.type}" was refused: ${next.refusal}`)
  return { before, after: next.job, event, ...more }
}

/** Applies the event, which must win; returns the record as it is read afterwards. */
export async function move(
  store: JobStore,
  state: JobState,
  event: JobEvent,
  more: Parameters<typeof changeOf>[2] = {},
): Promise<JobRecord> {
  const change = changeOf(state, event, more)
  expect(await store.commit(change)).toBe(true)
  const record = await read(store, state)
  expect(record.state).toEqual(change.after)
  return record
}

export const EXITED = { code: 0, oom_killed: false, reason: 'exited' } as const

export function assigned(state: JobState, agent: string, gpus: readonly string[] = []): JobEvent {
  return { type: 'assigned', agent, attempt: state.attempt + 1, gpus }
}

export function claimed(state: JobState, agent: string, session = 's1'): JobEvent {
  return { type: 'claimed', agent, session, attempt: state.attempt + 1, beat: 1, adopt: false }
}

export function finished(state: JobState, agent: string, session = 's1'): JobEvent {
  return {
    type: 'finished',
    agent,
    session,
    attempt: state.attempt,
    exit: EXITED,
    result: { out: [1] },
    error: null,
    updates: 7,
  }
}

/** A job that `agent` has claimed in `session`. */
export async function runOn(store: JobStore, agent: string, body: SubmitBody = {}, session = 's1'): Promise<JobRecord> {
  const { state } = await submit(store, body)
  const placed = await move(store, state, assigned(state, agent))
  return move(store, placed.state, claimed(placed.state, agent, session), { attempt: { attempt: 1 } })
}

export function held(state: JobState, attempt = state.attempt, more: Partial<HeldAttempt> = {}): HeldAttempt {
  return {
    tenant: state.tenant,
    job: state.id,
    attempt,
    phase: 'running',
    n: 1,
    stdout_lines: 0,
    stderr_lines: 0,
    ...more,
  }
}

let nkeys = 0

export async function allowJoining(store: JobStore, more: { pool?: string; expiresAtMs?: number } = {}): Promise<void> {
  const { pool = null, expiresAtMs = null } = more
  await store.createJoinToken(
    { id: newId('jtk'), pool, expiresAtMs, createdAtMs: Date.now() },
    await sha256Hex(JOIN_TOKEN),
  )
}

export async function join(
  store: JobStore,
  more: { nkey?: string; session?: string; pool?: string; key?: string } = {},
) {
  const { nkey = `U${String(++nkeys).padStart(55, 'A')}`, session = 's1', pool = 'default', key = newId('key') } = more
  const agent = {
    id: newId('agt'),
    name: 'machine',
    pool,
    labels: {},
    nkey,
    keyHash: await sha256Hex(key),
    version: '1',
    protocol: 1,
    capacity: CAPACITY,
    posture: { degraded: [] },
    bootId: 'b1',
    session,
  }
  return store.joinAgent(agent, await sha256Hex(JOIN_TOKEN))
}

/** An agent that has joined and beaten once. */
export async function liveAgent(store: JobStore, leaseMs = LEASE_MS): Promise<string> {
  await allowJoining(store).catch(() => undefined) // The token is there already.
  const agent = await join(store)
  if (agent === 'bad_token') throw new Error('the join token was refused')
  await beat(store, agent.id, 1, [], { leaseMs })
  return agent.id
}

export function beat(
  store: JobStore,
  agent: string | { readonly keyHash: string },
  number: number,
  holds: readonly HeldAttempt[] = [],
  more: { session?: string; leaseMs?: number; capacity?: Capacity; leaving?: boolean } = {},
) {
  const { session = 's1', leaseMs = LEASE_MS, capacity, leaving = false } = more
  return store.recordBeat({
    agent: typeof agent === 'string' ? { id: agent } : agent,
    session,
    beat: number,
    bootId: 'b1',
    held: holds,
    leaving,
    leaseMs,
    capacity,
  })
}
