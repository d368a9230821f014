// `dray run IMAGE [-- CMD…]`: like docker run, on some machine of the pool. The container's stdout is our stdout and its
// stderr our stderr, byte for byte; what we say goes to stderr; the exit code is the container's (exit-code.ts).
//
// First Ctrl-C: cancel with grace, and go on showing; second: kill; third: leave. A closed terminal or a lost network
// never cancels a job.

import { buffer } from 'node:stream/consumers'
import { Command } from 'commander'
import type { SubmitBody } from '../shared/job-spec.ts'
import { exitCodeOf, exitCodes } from './exit-code.ts'
import { followToEnd } from './follow-to-end.ts'
import { collectPairs, envCollector, parseGpus, parseNumber, parseSeconds, parseWhole } from './options.ts'
import { clientOf, say, UsageError, type Cli } from './terminal/cli.ts'

export interface RunOptions {
  readonly env?: Record<string, string>
  readonly memory?: string
  readonly cpus?: number
  readonly gpus?: number
  readonly name?: string
  readonly network?: string
  readonly user?: string
  readonly workdir?: string
  readonly entrypoint?: string
  readonly pull?: string
  readonly readOnly?: boolean
  readonly stopTimeout?: number
  readonly label?: Record<string, string>
  readonly interactive?: boolean
  readonly detach?: boolean
  readonly timeout?: number
  readonly retries?: number
  readonly priority?: string
  readonly pool?: string
  readonly updates?: boolean
  readonly json?: boolean
}

/** With --retries: what is worth another try. A wrong image or a refused request is not. */
const retriedCodes = ['exit_nonzero', 'oom', 'agent_lost', 'engine_lost', 'image_pull_failed', 'disk_full'] as const

export function command(cli: Cli): Command {
  return new Command('run')
    .argument('<image>', 'image name')
    .argument('[command...]', 'command and its arguments, after --')
    .passThroughOptions()
    .option('-e, --env <K=V>', 'environment of the container; K alone takes the value from here', envCollector(cli.env))
    .option('-m, --memory <size>', 'such as 512m or 2g')
    .option('--cpus <n>', 'such as 1.5', parseNumber)
    .option('--gpus <count>', 'how many', parseGpus)
    .option('--name <name>', 'a name for people')
    .option('--network <mode>', 'internet or none')
    .option('-u, --user <user>', 'uid[:gid] or a name')
    .option('-w, --workdir <path>', 'working directory')
    .option('--entrypoint <program>', "instead of the image's")
    .option('--pull <when>', 'missing, always or never')
    .option('--read-only', 'read-only root file system')
    .option('--stop-timeout <time>', 'grace between stop signal and kill', parseSeconds)
    .option('-l, --label <K=V>', 'for finding it again', collectPairs)
    .option('-i, --interactive', 'send our stdin to the container')
    .option('-d, --detach', 'print the id and return')
    .option('--timeout <time>', 'end it after this time, such as 30m', parseSeconds)
    .option('--retries <n>', 'run it again up to n times when it fails', parseWhole)
    .option('--priority <level>', 'high, normal or low')
    .option('--pool <name>', 'pool of agents')
    .option('--updates', 'show typed updates as text instead of the raw output')
    .option('--json', 'print updates as JSON Lines')
    .action((image: string, words: string[], options: RunOptions) =>
      // Options after the image belong to the container, so commander hands on the "--" that marks its command too.
      run(cli, image, words[0] === '--' ? words.slice(1) : words, options),
    )
}

async function run(cli: Cli, image: string, words: readonly string[], options: RunOptions): Promise<void> {
  const client = clientOf(cli)
  const stdin = options.interactive ? await readStdin(cli) : undefined
  const body = bodyOf(image, words, options, stdin)
  // A key of our own: the call may be repeated when its answer is lost, and still makes one job.
  const idempotencyKey = crypto.randomUUID()
  if (options.detach) {
    const job = await client.submit(body, { idempotencyKey })
    await cli.stdout.write(`${job.id}\n`)
    return say(cli, `follow it with: dray logs -f ${job.id}`)
  }
  const showAs = options.json ? 'json' : options.updates ? 'text' : 'raw'
  const end = await followToEnd(cli, client, () => client.submit(body, { idempotencyKey }), showAs)
  cli.exitCode = end ? exitCodeOf(end) : exitCodes.cancelled
}

export function bodyOf(image: string, words: readonly string[], options: RunOptions, stdin?: Uint8Array): SubmitBody {
  const { memory, cpus, gpus, retries } = options
  const body = {
    image,
    command: words.length > 0 ? [...words] : undefined,
    entrypoint: options.entrypoint === undefined ? undefined : [options.entrypoint].filter(Boolean),
    stdin: stdin && { base64: Buffer.from(stdin).toString('base64') },
    env: options.env,
    workdir: options.workdir,
    user: options.user,
    resources:
      memory === undefined && cpus === undefined && gpus === undefined
        ? undefined
        : dropUndefined({ memory, cpus, gpus }),
    network: options.network,
    pull: options.pull,
    read_only: options.readOnly,
    stop_grace_seconds: options.stopTimeout,
    labels: options.label,
    name: options.name,
    timeout_seconds: options.timeout,
    retries: retries === undefined ? undefined : { max_attempts: retries + 1, on: [...retriedCodes] },
    priority: options.priority,
    pool: options.pool,
    parse_updates: options.updates || options.json ? undefined : false,
  }
  // The server checks the values and names what is wrong; here they only change their form.
  return dropUndefined(body)
}

async function readStdin(cli: Cli): Promise<Uint8Array> {
  if (cli.stdin.isTTY)
    throw new UsageError('-i sends the whole of stdin before the job starts: redirect a file or a pipe into it.')
  return buffer(cli.stdin)
}

function dropUndefined(fields: Record<string, unknown>): Record<string, unknown> {
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined))
}
