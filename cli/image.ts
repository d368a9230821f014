// `dray image verify IMAGE`: whether an image can run workflows, tried on the local engine with a few short containers
// that are removed again. Exit code 0 or 1; what is missing is said.

import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { Command } from 'commander'
import { findEngine } from '../deploy/engine-api.ts'
import { defaultStateDir } from '../deploy/tools.ts'
import { runJobRequestSchema } from '../shared/nodetool.ts'
import { verifyImage } from './image-checks/verify-image.ts'
import { readPublished } from './supervise/state-folder.ts'
import { CliError, printJson, type Cli } from './terminal/cli.ts'

export function command(cli: Cli): Command {
  const image = new Command('image')
  image
    .command('verify')
    .summary('check that an image can run workflows')
    .argument('<image>', 'image name')
    .option('--json', 'print the checks as JSON')
    .action((name: string, options: { json?: boolean }) => verify(cli, name, options))
  return image
}

async function verify(cli: Cli, name: string, options: { json?: boolean }): Promise<void> {
  const socketPath = cli.env['DOCKER_HOST'] ? await findEngine(cli.env) : await localEngine(cli)
  if (socketPath === undefined)
    throw new CliError('No Docker engine answers here. Start one, or "dray up", or set DOCKER_HOST.', 1)
  const request = runJobRequestSchema.parse(
    JSON.parse(await readFile(join(import.meta.dirname, '..', 'examples', 'hello.json'), 'utf8')),
  )
  const checks = await verifyImage(socketPath, name, request)
  const ok = checks.every((check) => check.ok)
  if (options.json) await printJson(cli, { image: name, ok, checks })
  else {
    for (const check of checks) {
      await cli.stdout.write(check.ok ? `ok       ${check.what}\n` : `missing  ${check.what}: ${check.advice}\n`)
    }
  }
  cli.exitCode = ok ? 0 : 1
}

/** The stack's own engine first: that is where its jobs run. */
async function localEngine(cli: Cli): Promise<string | undefined> {
  return readPublished(defaultStateDir(cli.env))?.engineSocket ?? findEngine(cli.env)
}
