// `dray wait ID…`: until all of them have ended. The exit code is the highest of theirs.

import { Command } from 'commander'
import { endText } from './end-report.ts'
import { exitCodeOf } from './exit-code.ts'
import { clientOf, say, type Cli } from './terminal/cli.ts'
import { interruptSignal } from './terminal/interrupts.ts'

export function command(cli: Cli): Command {
  return new Command('wait')
    .argument('<id...>', 'job ids')
    .option('--json', 'print each job as it ends, as JSON Lines')
    .action((ids: string[], options: { json?: boolean }) => wait(cli, ids, options))
}

async function wait(cli: Cli, ids: readonly string[], options: { json?: boolean }): Promise<void> {
  const client = clientOf(cli)
  const signal = interruptSignal()
  const waitForOne = async (id: string): Promise<number> => {
    const job = await client.wait(id, { signal })
    if (options.json) await cli.stdout.write(`${JSON.stringify(job)}\n`)
    else if (job.status !== 'completed') await say(cli, endText(job, { outputShown: false }).join('\n'))
    return exitCodeOf(job)
  }
  try {
    cli.exitCode = Math.max(...(await Promise.all(ids.map(waitForOne))))
  } catch (error) {
    if (signal.aborted) await say(cli, 'stopped watching; the jobs go on')
    throw error
  }
}
