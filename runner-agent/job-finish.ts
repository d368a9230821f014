// Tells the control plane how an attempt ended: at the exit, whether or not NATS is up, again and again until the answer
// is 200 or 409. A body that is refused for what it says is sent again without its result, so that a job never hangs
// because of what its container printed.
import type { FinishBody } from '../shared/agent-protocol.ts'
import { backoffMs } from '../shared/backoff.ts'
import { untilAnswered } from './control-plane-client.ts'
import { pause } from './engine/pause.ts'
import type { JobContext } from './job-context.ts'
import { JobDetached } from './job-control.ts'
import type { JobEnd } from './job-follow.ts'

const REFUSED_BACKOFF = { firstMs: 500, maxMs: 30_000 }

export async function sendFinish(job: JobContext, end: JobEnd): Promise<void> {
  const { deps, key, control } = job
  let body = finishBody(job, end)
  // Ends with an answer that settles it, or when the attempt is dropped.
  for (let tries = 0; ; tries += 1) {
    const answer = await untilAnswered(() => deps.controlPlane.finish(key, body, control.letGo), control.letGo)
    // Fenced: it had finished before, or does not count any more. Which of both, the heartbeat says.
    if (answer.kind === 'ok' || answer.kind === 'fenced') return
    if (answer.kind === 'superseded') throw new JobDetached('Another process of this agent holds the attempt.')
    deps.log.error('The control plane refused how a job ended.', {
      ...key,
      status: answer.status,
      code: answer.code,
      detail: answer.detail,
    })
    body = { ...body, result: undefined }
    await pause(backoffMs(tries, REFUSED_BACKOFF, Math.random()), control.letGo)
  }
}

function finishBody(job: JobContext, end: JobEnd): FinishBody {
  const { exit, result, error } = end.outcome
  return {
    attempt: job.key.attempt,
    exit: { ...exit },
    started_at: end.startedAt,
    finished_at: end.finishedAt,
    image_digest: end.imageDigest,
    ...(result === undefined ? {} : { result }),
    ...(error === undefined ? {} : { error: { ...error, message: error.message.slice(0, MAX_MESSAGE) } }),
    updates: job.lastN(),
  }
}

const MAX_MESSAGE = 60_000
