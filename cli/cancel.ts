// `dray cancel ID…`: asks for the end. Asking again is no error; a job that ended otherwise is.

import { Command } from 'commander'
import { parseSeconds } from './options.ts'
import { clientOf, printJson, say, type Cli } from './terminal/cli.ts'

export function command(cli: Cli): Command {
  return new Command('cancel')
    .argument('<id...>', 'job ids')
    .option('--grace <time>', 'between stop signal and kill; 0 kills at once', parseSeconds)
    .option('--json', "print the API's answer")
    .action((ids: string[], options: { grace?: number; json?: boolean }) => cancel(cli, ids, options))
}

async function cancel(cli: Cli, ids: readonly string[], options: { grace?: number; json?: boolean }): Promise<void> {
  const client = clientOf(cli)
  let failure: unknown
  for (const id of ids) {
    try {
      const job = await client.cancel(id, { graceSeconds: options.grace })
      if (options.json) await printJson(cli, job)
      else await say(cli, `${id} ${job.status === 'cancelled' ? 'is cancelled' : 'is being stopped'}`)
    } catch (error) {
      // The others are cancelled all the same.
      if (ids.length > 1) await say(cli, `${id}: ${(error as Error).message}`)
      failure = error
    }
  }
  if (failure !== undefined) throw failure
}
