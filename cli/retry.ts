// `dray retry ID`: a new job of the same spec. Prints the new id.

import { Command } from 'commander'
import { clientOf, printJson, type Cli } from './terminal/cli.ts'

export function command(cli: Cli): Command {
  return new Command('retry')
    .argument('<id>', 'id of an ended job')
    .option('--json', "print the API's answer")
    .action(async (id: string, options: { json?: boolean }) => {
      const job = await clientOf(cli).retry(id)
      if (options.json) await printJson(cli, job)
      else await cli.stdout.write(`${job.id}\n`)
    })
}
