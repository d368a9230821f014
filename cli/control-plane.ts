// `dray control-plane`: a control plane on this machine, configured by its environment (docs/configuration.md), until
// SIGTERM. Its subcommands care for its database, which the same environment names: `backup` while it runs, `restore`
// while it does not, `migrate` for a libSQL server, which is not migrated at each start.

import { Command } from 'commander'
import { resolve } from 'node:path'
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

async function databaseOf(cli: Cli): Promise<{ readonly url: string; readonly authToken?: string }> {
  const { loadControlPlaneConfig, ConfigError } = await import('../control-plane/entry/control-plane-config.ts')
  try {
    const { databaseUrl, databaseToken } = loadControlPlaneConfig(cli.env)
    return { url: databaseUrl, ...(databaseToken === undefined ? {} : { authToken: databaseToken }) }
  } catch (error) {
    throw error instanceof ConfigError ? new UsageError(error.message) : error
  }
}

async function backup(cli: Cli, file: string, force: boolean): Promise<void> {
  const { backUp } = await import('../control-plane/store/backup.ts')
  const { url } = await databaseOf(cli)
  const copied = await backUp({ url, file: resolve(file), force })
  await say(
    cli,
    `"${file}" holds ${copied.sizeBytes} bytes and ${copied.liveJobs} live jobs; its check says that it is whole`,
  )
}

async function restore(cli: Cli, file: string, force: boolean): Promise<void> {
  const { restore: restoreFrom } = await import('../control-plane/store/restore.ts')
  const { url } = await databaseOf(cli)
  const { liveJobs, incarnation, movedTo } = await restoreFrom({ url, file: resolve(file), force })
  if (movedTo !== null) await say(cli, `the old database is kept as "${movedTo}"`)
  await say(cli, `restored with ${liveJobs} live jobs as incarnation ${incarnation}; start the control plane`)
}

async function migrate(cli: Cli): Promise<void> {
  const { migrateDatabase } = await import('../control-plane/store/libsql-store.ts')
  const applied = await migrateDatabase(await databaseOf(cli))
  await say(cli, applied.length === 0 ? 'the database is up to date' : `applied ${applied.join(', ')}`)
}
