// `dray token join` for one more machine, `dray token key` for one more person or program. The token alone is on stdout,
// shown this once; what to do with it is on stderr.

import { Command, Option } from 'commander'
import { parseSeconds } from './options.ts'
import { clientOf, findAddress, printJson, say, type Cli } from './terminal/cli.ts'

export function command(cli: Cli): Command {
  const token = new Command('token')
  token
    .command('join')
    .summary('a token with which a machine joins')
    .option('--pool <name>', 'only into this pool')
    .option('--ttl <time>', 'how long it may be used', parseSeconds)
    .option('--json', "print the API's answer")
    .action((options: { pool?: string; ttl?: number; json?: boolean }) => join(cli, options))
  token
    .command('key')
    .summary('an API key')
    .addOption(new Option('--role <role>', 'what it may do').choices(['admin', 'tenant']).default('tenant'))
    .option('--tenant <name>', 'whose jobs', 'default')
    .option('--name <text>', 'what it is for')
    .option('--ttl <time>', 'how long it is valid', parseSeconds)
    .option('--json', "print the API's answer")
    .action((options: KeyOptions) => key(cli, options))
  return token
}

interface KeyOptions {
  readonly role: 'admin' | 'tenant'
  readonly tenant: string
  readonly name?: string
  readonly ttl?: number
  readonly json?: boolean
}

async function join(cli: Cli, { pool, ttl, json }: { pool?: string; ttl?: number; json?: boolean }): Promise<void> {
  const made = await clientOf(cli).createJoinToken({ ...(pool ? { pool } : {}), ...(ttl ? { ttlSeconds: ttl } : {}) })
  if (json) return printJson(cli, made)
  await say(cli, `on the other machine, in a checkout of this repository:`)
  await say(cli, `  DRAY_JOIN_TOKEN=<token> npm run --silent dray -- agent --url ${findAddress(cli).url}`)
  await cli.stdout.write(`${made.token}\n`)
}

async function key(cli: Cli, { ttl, json, ...wanted }: KeyOptions): Promise<void> {
  const made = await clientOf(cli).createKey({ ...wanted, ttlSeconds: ttl })
  if (json) return printJson(cli, made)
  await cli.stdout.write(`${made.token}\n`)
}
