// `dray show ID`: one job with its attempts, its history and, while it waits, why.

import { Command } from 'commander'
import type { JobView } from '../shared/job.ts'
import { valueText } from './render/update-text.ts'
import { table } from './render/table.ts'
import { clientOf, printJson, type Cli } from './terminal/cli.ts'

export function command(cli: Cli): Command {
  return new Command('show')
    .argument('<id>', 'job id')
    .option('--json', "print the API's answer")
    .action(async (id: string, options: { json?: boolean }) => {
      const job = await clientOf(cli).show(id)
      if (options.json) await printJson(cli, job)
      else await cli.stdout.write(jobPage(job))
    })
}

export function jobPage(job: JobView): string {
  const spec = job.spec as { image?: string; command?: string[]; request?: { workflow_id?: string } } | undefined
  const facts: [string, string | undefined][] = [
    ['job', job.name === undefined ? job.id : `${job.id} (${job.name})`],
    ['status', `${job.status} (${job.phase})${job.cancel_requested ? ', cancel requested' : ''}`],
    ['image', spec?.image],
    ['command', spec?.command?.join(' ')],
    ['workflow', spec?.request?.workflow_id],
    ['created', job.created_at],
    ['started', job.started_at],
    ['finished', job.finished_at],
    ['retry of', job.retry_of],
    [
      'labels',
      Object.entries(job.labels)
        .map(([key, value]) => `${key}=${value}`)
        .join(' ') || undefined,
    ],
    ['exit', job.exit && exitText(job.exit)],
    ['error', job.error && `${job.error.code}: ${job.error.message}`],
    ['', job.error?.hint],
    ['result', job.result === undefined ? undefined : valueText(job.result)],
    ['waits', job.queue && `position ${job.queue.position}: ${job.queue.why}`],
    ...(job.queue?.agents ?? []).map(({ agent, lacks }): [string, string] => [
      '',
      `${agent} lacks ${lacks.join(', ')}`,
    ]),
  ]
  const head = facts
    .flatMap(([name, value]) => (value === undefined || value === '' ? [] : [`${name.padEnd(10)}${value}\n`]))
    .join('')
  return [head, attemptsText(job), transitionsText(job)].filter(Boolean).join('\n')
}

function attemptsText({ attempts }: JobView): string {
  if (attempts.length === 0) return ''
  const rows = attempts.map((one) => [
    String(one.attempt),
    one.agent,
    one.gpus.join(' ') || '-',
    one.started_at ?? '-',
    one.finished_at ?? '-',
    one.error?.code ?? (one.exit ? exitText(one.exit) : '-'),
  ])
  return table(['ATTEMPT', 'AGENT', 'GPUS', 'STARTED', 'FINISHED', 'END'], rows)
}

function transitionsText({ transitions }: JobView): string {
  if (transitions.length === 0) return ''
  const rows = transitions.map(({ at, event, status, phase, reason }) => [
    at,
    event,
    `${status} (${phase})`,
    reason ?? '',
  ])
  return table(['AT', 'EVENT', 'STATUS', 'REASON'], rows)
}

function exitText(exit: NonNullable<JobView['exit']>): string {
  return [
    exit.reason,
    exit.code === null ? undefined : `code ${exit.code}`,
    exit.signal,
    exit.oom_killed ? 'out of memory' : undefined,
  ]
    .filter(Boolean)
    .join(', ')
}
