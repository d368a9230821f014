// `dray attach ID`: follows a job to its end and ends with its exit code. Ctrl-C stops watching; the job goes on.

import { Command } from 'commander'
import { reportEnd } from './end-report.ts'
import { exitCodeOf } from './exit-code.ts'
import { followJob } from './follow-job.ts'
import { clientOf, say, type Cli } from './terminal/cli.ts'
import { interruptSignal } from './terminal/interrupts.ts'

export function command(cli: Cli): Command {
  return new Command('attach')
    .argument('<id>', 'job id')
    .option('--json', 'print updates as JSON Lines')
    .action((id: string, options: { json?: boolean }) => attach(cli, id, options))
}

async function attach(cli: Cli, id: string, options: { json?: boolean }): Promise<void> {
  const client = clientOf(cli)
  const signal = interruptSignal()
  try {
    const end = await followJob(cli, client, id, {
      showAs: options.json ? 'json' : 'text',
      signal,
      endOnClosedStdout: true,
    })
    if (!end) return
    if (end.status !== 'completed') await reportEnd(cli, client, id, { outputShown: true })
    cli.exitCode = exitCodeOf(end)
  } catch (error) {
    if (signal.aborted) await say(cli, `stopped watching; the job goes on: dray attach ${id}`)
    throw error
  }
}
