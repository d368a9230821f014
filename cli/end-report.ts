// What we say when a job did not complete: the reason, the exit code, the machine, the last lines of its stderr where
// they were not shown yet, and what to do next. On stderr, after everything that the job printed.

import type { Client } from '../shared/client/create-client.ts'
import { ApiError } from '../shared/client/api-error.ts'
import type { JobView } from '../shared/job.ts'
import { durationText } from './render/time-text.ts'
import { say, type Cli } from './terminal/cli.ts'

export interface EndReport {
  /** The job's own output was on the screen already. */
  readonly outputShown: boolean
}

export async function reportEnd(cli: Cli, client: Client, id: string, options: EndReport): Promise<void> {
  const job = await client.show(id).catch((error: unknown) => {
    // The job's end is known already; only its details are not.
    if (error instanceof ApiError) return undefined
    throw error
  })
  if (job && job.status !== 'completed') await say(cli, endText(job, options).join('\n'))
}

export function endText(job: JobView, { outputShown }: EndReport): string[] {
  const last = job.attempts.at(-1)
  const facts = [
    job.error?.code ?? job.exit?.reason,
    job.exit?.code === null || job.exit?.code === undefined ? undefined : `exit code ${job.exit.code}`,
    job.exit?.signal,
    job.exit?.oom_killed ? 'killed by the kernel for its memory' : undefined,
    last ? `on agent ${last.agent}` : undefined,
    job.attempts.length > 1 ? `${job.attempts.length} attempts` : undefined,
    last?.started_at && last.finished_at
      ? `after ${durationText((Date.parse(last.finished_at) - Date.parse(last.started_at)) / 1000)}`
      : undefined,
  ].filter(Boolean)
  const message = (job.error?.message ?? '').trimEnd().split('\n')
  // For a failed container the message holds the last lines of its stderr.
  const shownAlready = outputShown && job.error?.code === 'exit_nonzero'
  const again =
    job.status === 'cancelled' || job.error
      ? [`next: dray show ${job.id} | dray logs ${job.id} | dray retry ${job.id}`]
      : []
  return [
    `${job.id} ${job.status === 'cancelled' ? 'was cancelled' : 'failed'}: ${facts.join(', ')}`,
    ...(shownAlready ? [] : message.filter(Boolean).map((line) => `  ${line}`)),
    ...(job.error?.hint ? [job.error.hint] : []),
    ...again,
  ]
}
