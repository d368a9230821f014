// Portable: Web APIs only.
//
// The end of a job: waiting for it without reading what the job says, and its result whatever the size.
import { isTerminal, type JobView } from '../job.ts'
import { LAST_N, seqOf } from '../position.ts'
import { isStateFrame, isTerminalUpdate } from '../update.ts'
import { ApiError, JobFailedError } from './api-error.ts'
import type { Client } from './client.ts'
import { pause } from './pause.ts'

const retryMs = 1_000

/** Survives restarts of the server: errors that may pass are waited out until the signal. */
export async function waitForEnd(client: Client, id: string, signal?: AbortSignal): Promise<JobView> {
  for (;;) {
    try {
      const job = await client.show(id, { signal })
      if (isTerminal(job.status)) return job
      await untilNews(client, job, signal)
    } catch (error) {
      if (!(error instanceof ApiError) || !error.retryable) throw error
      await pause(retryMs, signal)
    }
  }
}

/** Follows from the last place of the current attempt: only its end, or a next attempt, comes after that. */
async function untilNews(client: Client, job: JobView, signal?: AbortSignal): Promise<void> {
  for await (const frame of client.updates(job.id, { after: seqOf(job.attempt, LAST_N - 1), signal })) {
    if (isTerminalUpdate(frame) || !isStateFrame(frame) || frame.attempt > job.attempt) return
  }
}

/**
 * The result of an ended job. One over 256 KiB is `{"$update": seq}` in the job: the update with that seq holds it.
 * @throws JobFailedError when the job did not complete; ApiError not_found when the store no longer holds the update
 */
export async function readResult(client: Client, job: JobView, signal?: AbortSignal): Promise<unknown> {
  if (job.status !== 'completed') throw new JobFailedError(job)
  const seq = referenceIn(job.result)
  if (seq === undefined) return job.result ?? {}
  const { updates } = await client.history(job.id, { after: seq - 1, limit: 1, ...(signal ? { signal } : {}) })
  const update = updates[0]
  if (update === undefined || !('seq' in update) || update.seq !== seq) {
    throw new ApiError(`The update ${seq} that holds the result of job "${job.id}" is no longer stored`, {
      code: 'not_found',
      status: 404,
      hint: 'Updates are kept for a limited time and space; run the job again.',
    })
  }
  return update['result']
}

function referenceIn(result: unknown): number | undefined {
  if (typeof result !== 'object' || result === null) return undefined
  const keys = Object.keys(result)
  const seq = (result as { $update?: unknown }).$update
  return keys.length === 1 && typeof seq === 'number' ? seq : undefined
}
