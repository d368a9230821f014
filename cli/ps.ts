// `dray ps`: jobs, newest first.

import { Command } from 'commander'
import { STATUSES, type JobView, type Status } from '../shared/job.ts'
import { parseWhole } from './options.ts'
import { table } from './render/table.ts'
import { agoText, durationText } from './render/time-text.ts'
import { clientOf, printJson, say, UsageError, type Cli } from './terminal/cli.ts'

interface PsOptions {
  readonly all?: boolean
  readonly status?: string
  readonly label?: string
  readonly pool?: string
  readonly limit?: number
  readonly quiet?: boolean
  readonly json?: boolean
}

export function command(cli: Cli): Command {
  return new Command('ps')
    .option('-a, --all', 'ended jobs too')
    .option('--status <list>', `comma-separated: ${STATUSES.join(', ')}`)
    .option('-l, --label <K:V>', 'only with this label')
    .option('--pool <name>', 'only of this pool')
    .option('-n, --limit <n>', 'at most this many (500)', parseWhole)
    .option('-q, --quiet', 'ids only')
    .option('--json', "print the API's answer")
    .action((options: PsOptions) => ps(cli, options))
}

async function ps(cli: Cli, options: PsOptions): Promise<void> {
  const page = await clientOf(cli).list({
    status: statusesOf(options),
    label: options.label?.replace('=', ':'),
    pool: options.pool,
    limit: options.limit,
  })
  if (options.json) return printJson(cli, page)
  if (options.quiet) return cli.stdout.write(page.items.map(({ id }) => `${id}\n`).join(''))
  if (page.items.length === 0) return say(cli, options.all ? 'no jobs' : 'no jobs wait or run; -a shows ended ones')
  const nowMs = Date.now()
  await cli.stdout.write(
    table(
      ['ID', 'NAME', 'STATUS', 'CREATED', 'TOOK', 'AGENT', 'IMAGE'],
      page.items.map((job) => rowOf(job, nowMs)),
    ),
  )
  if (page.cursor !== null) await say(cli, 'there are more; -n raises the limit')
}

function statusesOf({ status, all }: PsOptions): Status[] | undefined {
  if (status === undefined) return all ? undefined : ['starting', 'running']
  const statuses = status.split(',')
  const unknown = statuses.find((name) => !(STATUSES as readonly string[]).includes(name))
  if (unknown !== undefined) throw new UsageError(`There is no status "${unknown}": take of ${STATUSES.join(', ')}`)
  return statuses as Status[]
}

function rowOf(job: JobView, nowMs: number): string[] {
  const live = job.status === 'starting' || job.status === 'running'
  const code = job.exit?.code
  const status = live
    ? job.phase
    : job.status === 'error'
      ? `${job.error?.code ?? 'error'}${code ? ` (${code})` : ''}`
      : job.status
  const took = job.started_at
    ? durationText((Date.parse(job.finished_at ?? new Date(nowMs).toISOString()) - Date.parse(job.started_at)) / 1000)
    : ''
  const image = (job.spec as { image?: string } | undefined)?.image ?? ''
  return [job.id, job.name ?? '', status, agoText(job.created_at, nowMs), took, job.attempts.at(-1)?.agent ?? '', image]
}
