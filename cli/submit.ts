// `dray submit FILE|-`: a submit body or a RunJobRequest as JSON. Prints the id; --wait follows the job to its end.

import { readFile } from 'node:fs/promises'
import { text } from 'node:stream/consumers'
import { Command } from 'commander'
import type { SubmitBody } from '../shared/job-spec.ts'
import type { RunJobRequest } from '../shared/nodetool.ts'
import { exitCodeOf, exitCodes } from './exit-code.ts'
import { followToEnd } from './follow-to-end.ts'
import { collectPairs } from './options.ts'
import { clientOf, printJson, UsageError, type Cli } from './terminal/cli.ts'

interface SubmitOptions {
  readonly wait?: boolean
  readonly json?: boolean
  readonly idempotencyKey?: string
  readonly image?: string
  readonly label?: Record<string, string>
}

export function command(cli: Cli): Command {
  return new Command('submit')
    .argument('<file>', 'JSON file, or - for stdin')
    .option('--wait', 'show its updates and end with its exit code')
    .option('--json', 'print the job, or with --wait its updates, as JSON')
    .option('--image <name>', 'image to run it in')
    .option('-l, --label <K=V>', 'for finding it again', collectPairs)
    .option('--idempotency-key <key>', 'submitting again with this key gives the same job')
    .action((file: string, options: SubmitOptions) => submit(cli, file, options))
}

async function submit(cli: Cli, file: string, options: SubmitOptions): Promise<void> {
  const client = clientOf(cli)
  const body = withOptions(bodyOf(await readBody(cli, file), file), options)
  const idempotencyKey = options.idempotencyKey ?? crypto.randomUUID()
  if (options.wait) {
    const end = await followToEnd(
      cli,
      client,
      () => client.submit(body, { idempotencyKey }),
      options.json ? 'json' : 'text',
    )
    cli.exitCode = end ? exitCodeOf(end) : exitCodes.cancelled
    return
  }
  const job = await client.submit(body, { idempotencyKey })
  if (options.json) await printJson(cli, job)
  else await cli.stdout.write(`${job.id}\n`)
}

async function readBody(cli: Cli, file: string): Promise<string> {
  if (file === '-') return text(cli.stdin)
  return readFile(file, 'utf8').catch((error: unknown) => {
    throw new UsageError(`Cannot read "${file}": ${(error as Error).message}`)
  })
}

/** A RunJobRequest is told from a submit body by its type, or by a graph, which a submit body does not have. */
export function bodyOf(json: string, file: string): SubmitBody {
  let value: unknown
  try {
    value = JSON.parse(json)
  } catch (error) {
    throw new UsageError(`"${file}" is not JSON: ${(error as Error).message}`)
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    throw new UsageError(`"${file}" holds no JSON object`)
  const isRequest = (value as { type?: unknown }).type === 'run_job_request' || 'graph' in value
  return isRequest ? { request: value as RunJobRequest } : value
}

function withOptions(body: SubmitBody, { image, label }: SubmitOptions): SubmitBody {
  return {
    ...body,
    ...(image === undefined ? {} : { image }),
    ...(label ? { labels: { ...body.labels, ...label } } : {}),
  }
}
