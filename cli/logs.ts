// `dray logs ID [-f]`: what a job has said so far, or with -f until it ends. What the container printed goes to the
// stream that it was printed on; typed updates come as text on stdout.

import { Command } from 'commander'
import type { Client } from '../shared/client/create-client.ts'
import { parseWhole } from './options.ts'
import { followJob } from './follow-job.ts'
import { logBytesOf } from './render/log-bytes.ts'
import { updateText } from './render/update-text.ts'
import { clientOf, type Cli } from './terminal/cli.ts'
import { interruptSignal } from './terminal/interrupts.ts'

interface LogsOptions {
  readonly follow?: boolean
  readonly json?: boolean
  readonly after?: number
}

const pageSize = 1_000

export function command(cli: Cli): Command {
  return new Command('logs')
    .argument('<id>', 'job id')
    .option('-f, --follow', 'until the job ends')
    .option('--after <seq>', 'only what comes after this cursor', parseWhole)
    .option('--json', 'print updates as JSON Lines')
    .action((id: string, options: LogsOptions) => logs(cli, id, options))
}

async function logs(cli: Cli, id: string, options: LogsOptions): Promise<void> {
  const client = clientOf(cli)
  const signal = interruptSignal()
  try {
    if (!options.follow) return await printStored(cli, client, id, options, signal)
    await followJob(cli, client, id, {
      showAs: options.json ? 'json' : 'text',
      after: options.after,
      signal,
      endOnClosedStdout: true,
    })
  } catch (error) {
    // Ctrl-C only stops watching.
    if (!signal.aborted) throw error
  }
}

async function printStored(
  cli: Cli,
  client: Client,
  id: string,
  options: LogsOptions,
  signal: AbortSignal,
): Promise<void> {
  let after = options.after ?? 0
  // Ends with the first page that is not full: what is said after that belongs to -f.
  for (;;) {
    const page = await client.history(id, { after, limit: pageSize, signal })
    for (const frame of page.updates) {
      const printed = options.json ? undefined : logBytesOf(frame)
      if (printed) await cli[printed.stream].write(printed.bytes)
      else {
        const text = options.json ? JSON.stringify(frame) : updateText(frame)
        if (text !== undefined) await cli.stdout.write(`${text}\n`)
      }
    }
    if (page.done || page.updates.length === 0 || page.cursor <= after || cli.stdout.closed) return
    after = page.cursor
  }
}
