// Portable: Web APIs only.
//
// What reaches a client (PROTOCOL 1 and 4): updates, gaps, state frames and the terminal update, and the known types of
// a container's lines. The schemas are open: unknown types and fields pass through untouched.
import { z } from 'zod'
import { jobErrorSchema, exitSchema } from './agent-protocol.ts'
import { PHASES, STATUSES, type Exit, type JobRecord, type JobState } from './job.ts'
import { LAST_N, seqOf, terminalSeq } from './position.ts'

/** One thing a job said: flat, as the container wrote it, plus what says where it stands. */
export const updateSchema = z.looseObject({
  type: z.string(),
  job_id: z.string(),
  attempt: z.int(),
  at: z.string(),
  seq: z.int(),
})
export type Update = z.infer<typeof updateSchema>

/** A destroyed or expired store no longer holds these; both ends included. */
export const gapSchema = z.object({ type: z.literal('gap'), from: z.int(), to: z.int() })
export type Gap = z.infer<typeof gapSchema>

/** A snapshot of the job's row: without `seq`, never with a final status. */
export const stateFrameSchema = z.looseObject({
  type: z.literal('job_update'),
  job_id: z.string(),
  status: z.enum(STATUSES),
  phase: z.enum(PHASES),
  attempt: z.int(),
  cancel_requested: z.boolean(),
})
export type StateFrame = z.infer<typeof stateFrameSchema>

/** The one job_update with a final status; nothing follows it. */
export const terminalUpdateSchema = updateSchema.extend({
  type: z.literal('job_update'),
  status: z.enum(['completed', 'error', 'cancelled']),
  exit: exitSchema,
  duration: z.number(),
  error: jobErrorSchema.optional(),
  result: z.unknown().optional(),
})
export type TerminalUpdate = z.infer<typeof terminalUpdateSchema>

export type Frame = Update | Gap | StateFrame | TerminalUpdate

/** Frames with a place in the job's story: everything but state frames. */
export type StoryFrame = Update | Gap | TerminalUpdate

export function isGap(frame: Frame): frame is Gap {
  return frame.type === 'gap' && !('seq' in frame)
}

export function isStateFrame(frame: Frame): frame is StateFrame {
  return frame.type === 'job_update' && !('seq' in frame)
}

export function isTerminalUpdate(frame: Frame): frame is TerminalUpdate {
  return 'seq' in frame && typeof frame.seq === 'number' && frame.seq % 2 ** 32 === LAST_N
}

/** The last seq that a frame covers, or undefined for a state frame. */
export function endSeq(frame: Frame): number | undefined {
  if (isGap(frame)) return frame.to
  return 'seq' in frame && typeof frame.seq === 'number' ? frame.seq : undefined
}

export function stateFrameOf(job: JobState): StateFrame {
  return {
    type: 'job_update',
    job_id: job.id,
    status: job.status,
    phase: job.phase,
    attempt: job.attempt,
    cancel_requested: job.cancel !== null,
    ...(job.assignment ? { agent: job.assignment.agent } : {}),
  }
}

const NEVER_RAN: Exit = { code: null, oom_killed: false, reason: 'lost' }

/** The terminal update of an ended job. */
export function terminalUpdateOf(record: JobRecord): TerminalUpdate {
  const { state } = record
  // Not the one that `state.attempt` names: after a restore the number is beyond the last that ran.
  const last = record.attempts.at(-1)
  const finishedMs = record.finishedAtMs ?? record.createdAtMs
  const startedMs = last?.startedAtMs ?? null
  const endedMs = last?.finishedAtMs ?? finishedMs
  return {
    type: 'job_update',
    job_id: state.id,
    status: state.status as TerminalUpdate['status'],
    phase: 'finished',
    attempt: state.attempt,
    exit: state.exit ?? NEVER_RAN,
    duration: startedMs === null ? 0 : Math.max(0, endedMs - startedMs) / 1000,
    ...(state.error ? { error: state.error } : {}),
    ...(state.status === 'completed' ? { result: state.result ?? {} } : {}),
    at: new Date(finishedMs).toISOString(),
    seq: terminalSeq(state.attempt),
  }
}

/** A stored update as a client sees it. `update` already carries job_id and at from its agent. */
export function placeUpdate(update: Readonly<Record<string, unknown>>, attempt: number, n: number): Update {
  return { ...update, attempt, seq: seqOf(attempt, n) } as Update
}
