// `dray up`: the whole stack on this machine until Ctrl-C or SIGTERM. With --json one line {"url","token"} on stdout once
// it is ready; else the same for people on stderr, with the lines for a first job.

import { relative, resolve } from 'node:path'
import { Command, InvalidArgumentError } from 'commander'
import { defaultStateDir } from '../deploy/tools.ts'
import { StateFolderInUse } from './supervise/state-folder.ts'
import { startStack, type Stack } from './supervise/stack.ts'
import { CliError, paint, say, type Cli } from './terminal/cli.ts'
import { Interrupted, watchInterrupts } from './terminal/interrupts.ts'

interface UpOptions {
  readonly state?: string
  readonly port: number
  readonly host: string
  readonly json?: boolean
}

export function command(cli: Cli): Command {
  return new Command('up')
    .option('--state <dir>', 'state folder (.dray)')
    .option('--port <n>', 'HTTP port; 0 is any free one', parsePort, 8700)
    .option('--host <address>', 'where to listen; more than this machine needs TLS in front', '127.0.0.1')
    .option('--json', 'print {"url","token"} once it is ready')
    .action((options: UpOptions) => up(cli, options))
}

async function up(cli: Cli, options: UpOptions): Promise<void> {
  const run = createStop(cli)
  const startedMs = performance.now()
  const stack = await startStack({
    stateDir: options.state ?? defaultStateDir(cli.env),
    port: options.port,
    host: options.host,
    env: cli.env,
    signal: run.stop,
    force: run.force,
    onNotice: (text) => void say(cli, text),
  }).catch((error: unknown) => {
    if (run.stop.aborted) return undefined
    throw error instanceof StateFolderInUse ? new CliError(error.message, 1) : error
  })
  if (stack) {
    if (options.json) await cli.stdout.write(`${JSON.stringify({ url: stack.url, token: stack.token })}\n`)
    else await cli.stderr.write(banner(cli, stack, (performance.now() - startedMs) / 1000))
    await aborted(run.stop)
    await stack.stop()
    await say(cli, 'everything has ended')
  }
  run.close()
}

/** First Ctrl-C or SIGTERM: in good order. Second: at once. A closed terminal counts as the first. */
export function createStop(cli: Cli) {
  const stop = new AbortController()
  const force = new AbortController()
  const end = (): void => {
    if (!stop.signal.aborted) void say(cli, 'stopping; Ctrl-C again kills')
    stop.abort(new Interrupted())
  }
  const interrupts = watchInterrupts([end, () => force.abort(new Interrupted())])
  process.on('SIGHUP', end)
  const npmWatch = cli.env['npm_lifecycle_event'] === undefined ? undefined : watchNpm(end)
  return {
    stop: stop.signal,
    force: force.signal,
    close() {
      interrupts.close()
      clearInterval(npmWatch)
      process.off('SIGHUP', end)
    },
  }
}

/** npm is our parent (its script uses `exec`). When it was killed we would run on with nobody to stop us. */
function watchNpm(end: () => void): NodeJS.Timeout {
  const npm = process.ppid
  return setInterval(() => process.ppid !== npm && end(), 500).unref()
}

function banner(cli: Cli, stack: Stack, seconds: number): string {
  const tokenFile = shortPath(`${stack.dir}/token`)
  // The other commands find the stack of the usual folder by themselves.
  const usual = stack.dir === resolve(defaultStateDir(cli.env))
  const dray = `${usual ? '' : `DRAY_URL=${stack.url} DRAY_TOKEN=$(cat ${tokenFile}) `}npm run --silent dray --`
  const bold = (text: string): string => paint(cli, cli.stderr, 'bold', text)
  return `
${bold('Dray is ready')} (${seconds.toFixed(1)} s)

  console   ${stack.url}/
  API       ${stack.url}/docs
  key       ${cli.stderr.isTTY ? stack.token : `in ${tokenFile}`}
  logs      ${shortPath(`${stack.dir}/logs`)}/

A first job, and everything about it:

  curl ${stack.url}/v1/jobs -H "Authorization: Bearer $(cat ${tokenFile})" \\
    -H 'Content-Type: application/json' -d "{\\"request\\": $(cat examples/hello.json)}"
  ${dray} submit examples/stream.json --wait
  ${dray} ps -a

Ctrl-C ends it.

`
}

function shortPath(path: string): string {
  const short = relative('.', path)
  return short.startsWith('..') ? path : short
}

function aborted(signal: AbortSignal): Promise<void> {
  return new Promise((fulfil) => {
    if (signal.aborted) fulfil()
    else signal.addEventListener('abort', () => fulfil(), { once: true })
  })
}

function parsePort(text: string): number {
  const port = Number(text)
  if (!/^\d{1,5}$/.test(text) || port > 65_535) throw new InvalidArgumentError('give a port, 0 to 65535')
  return port
}
