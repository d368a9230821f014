// Portable: Web APIs only.
//
// A job's record as clients see it (PROTOCOL 3, "Shapes"). Times leave as ISO 8601 in UTC; a request's auth_token never leaves.
import type { JobSpec } from '../../shared/job-spec.ts'
import type {
  AttemptRecord,
  AttemptView,
  JobRecord,
  JobView,
  QueueView,
  TransitionRecord,
  TransitionView,
} from '../../shared/job.ts'

const iso = (ms: number): string => new Date(ms).toISOString()

export function jobView(record: JobRecord, transitions: readonly TransitionRecord[], queue?: QueueView): JobView {
  const { state, spec } = record
  return {
    id: state.id,
    name: spec.name,
    tenant: state.tenant,
    status: state.status,
    phase: state.phase,
    cancel_requested: state.cancel !== null,
    attempt: state.attempt,
    created_at: iso(record.createdAtMs),
    started_at: record.startedAtMs === null ? undefined : iso(record.startedAtMs),
    finished_at: record.finishedAtMs === null ? undefined : iso(record.finishedAtMs),
    retry_of: record.retryOf ?? undefined,
    result: state.status === 'completed' ? (state.result ?? {}) : undefined,
    error: state.error ?? undefined,
    exit: state.exit ?? undefined,
    queue,
    attempts: record.attempts.map(attemptView),
    transitions: transitions.map(transitionView),
    labels: spec.labels,
    spec: shownSpec(spec),
  }
}

function attemptView(attempt: AttemptRecord): AttemptView {
  return {
    attempt: attempt.attempt,
    agent: attempt.agent,
    gpus: attempt.gpus,
    image_digest: attempt.imageDigest ?? undefined,
    claimed_at: iso(attempt.claimedAtMs),
    started_at: attempt.startedAtMs === null ? undefined : iso(attempt.startedAtMs),
    finished_at: attempt.finishedAtMs === null ? undefined : iso(attempt.finishedAtMs),
    exit: attempt.exit ?? undefined,
    error: attempt.error ?? undefined,
  }
}

function transitionView({ atMs, ...rest }: TransitionRecord): TransitionView {
  return { ...rest, at: iso(atMs) }
}

function shownSpec(spec: JobSpec): unknown {
  if (!spec.request?.auth_token) return spec
  return { ...spec, request: { ...spec.request, auth_token: '***' } }
}
