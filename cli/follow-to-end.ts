// A job of our own in the foreground, for `run` and `submit --wait`: submitted, followed, cancelled by Ctrl-C.

import { ApiError } from '../shared/client/api-error.ts'
import type { Client } from '../shared/client/create-client.ts'
import type { JobView } from '../shared/job.ts'
import type { TerminalUpdate } from '../shared/update.ts'
import { reportEnd } from './end-report.ts'
import { exitCodes } from './exit-code.ts'
import { followJob, type ShowAs } from './follow-job.ts'
import { CliError, say, type Cli } from './terminal/cli.ts'
import { Interrupted, watchInterrupts } from './terminal/interrupts.ts'

/** Undefined when we were told to leave before the job had ended. */
export async function followToEnd(
  cli: Cli,
  client: Client,
  submit: () => Promise<JobView>,
  showAs: ShowAs,
): Promise<TerminalUpdate | undefined> {
  const leave = new AbortController()
  let id: string | undefined
  let wanted: number | 'default' | undefined
  const cancel = (graceSeconds: number | undefined, text: string): void => {
    wanted = graceSeconds ?? 'default'
    if (id !== undefined) void cancelJob(cli, client, id, graceSeconds, text)
  }
  const interrupts = watchInterrupts([
    () => cancel(undefined, 'stopping the job; press Ctrl-C again to kill it'),
    () => cancel(0, 'killing the job; press Ctrl-C again to leave'),
    () => leave.abort(new Interrupted()),
  ])
  try {
    const job = await submit().catch((error: unknown) => {
      throw error instanceof ApiError
        ? new CliError(`${error.message}. ${error.hint}`, exitCodes.ourFailure, error)
        : error
    })
    id = job.id
    if (!cli.stderr.isTTY) await say(cli, `job ${id}`)
    if (wanted !== undefined)
      await cancelJob(cli, client, id, wanted === 'default' ? undefined : wanted, 'stopping the job')
    const end = await followJob(cli, client, id, { showAs, signal: leave.signal })
    if (end && end.status !== 'completed') await reportEnd(cli, client, id, { outputShown: true })
    return end
  } catch (error) {
    if (!leave.signal.aborted) throw error
    await say(cli, `left; the job goes on: dray attach ${id ?? ''}`)
    return undefined
  } finally {
    interrupts.close()
  }
}

async function cancelJob(
  cli: Cli,
  client: Client,
  id: string,
  graceSeconds: number | undefined,
  text: string,
): Promise<void> {
  await say(cli, text)
  await client.cancel(id, { graceSeconds }).catch((error: unknown) => {
    // It has just ended by itself: its end is on its way to us.
    if (error instanceof ApiError && error.code === 'conflict') return
    return say(cli, `cannot cancel: ${error instanceof Error ? error.message : String(error)}`)
  })
}
