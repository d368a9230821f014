// `dray control-plane`: a control plane on this machine, configured by its environment (docs/configuration.md), until
// SIGTERM. Its subcommands care for its database, which the same environment names: `backup` while it runs, `restore`
// while it does not, `migrate` for a libSQL server, which is not migrated at each start.

import { Command } from 'commander'
import { resolve } from 'node:path'
import type { ControlPlaneConfig } from '../control-plane/entry/control-plane-config.ts'
import { say, UsageError, type Cli } from './terminal/cli.ts'

export function command(cli: Cli): Command {
  const controlPlane = new Command('control-plane').action(async () => {
    const { runControlPlane } = await import('../control-plane/entry/node.ts')
    cli.exitCode = await runControlPlane(cli.env)
  })
  controlPlane
    .command('backup')
    .summary('copy the database to a file, while it is in use')
    .argument('<file>')
    .option('--force', 'replace the file')
    .action((file: string, options: { force?: boolean }) => backup(cli, file, options.force ?? false))
  controlPlane
    .command('restore')
    .summary('make a backup the database; no control plane may run')
    .argument('<file>')
    .option('--force', 'also where the old database cannot be read')
    .action((file: string, options: { force?: boolean }) => restore(cli, file, options.force ?? false))
  controlPlane
    .command('migrate')
    .summary('bring the database to the schema of this version')
    .action(() => migrate(cli))
  return controlPlane
}

async function configOf(cli: Cli): Promise<ControlPlaneConfig> {
  const { loadControlPlaneConfig, ConfigError } = await import('../control-plane/entry/control-plane-config.ts')
  try {
    return loadControlPlaneConfig(cli.env)
  } catch (error) {
    throw error instanceof ConfigError ? new UsageError(error.message) : error
  }
}

async function backup(cli: Cli, file: string, force: boolean): Promise<void> {
  const { backUp } = await import('../control-plane/store/backup.ts')
  const { databaseUrl: url } = await configOf(cli)
  const copied = await backUp({ url, file: resolve(file), force })
  await say(
    cli,
    `"${file}" holds ${copied.sizeBytes} bytes and ${copied.liveJobs} live jobs; its check says that it is whole`,
  )
}

async function restore(cli: Cli, file: string, force: boolean): Promise<void> {
  const { restore: restoreFrom } = await import('../control-plane/store/restore.ts')
  const { databaseUrl: url } = await configOf(cli)
  const { liveJobs, incarnation, movedTo } = await restoreFrom({ url, file: resolve(file), force })
  if (movedTo !== null) await say(cli, `the old database is kept as "${movedTo}"`)
  await say(cli, `restored with ${liveJobs} live jobs as incarnation ${incarnation}; start the control plane`)
}

async function migrate(cli: Cli): Promise<void> {
  const { prepareDatabase } = await import('../control-plane/entry/prepare-database.ts')
  const { applied, keyFile } = await prepareDatabase(await configOf(cli))
  await say(cli, applied.length === 0 ? 'the database is up to date' : `applied ${applied.join(', ')}`)
  if (keyFile !== null) await say(cli, `it had no key: the first admin key is in "${keyFile}"`)
}
