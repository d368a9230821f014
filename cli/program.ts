// The program behind main.ts. Finds the command, loads only that one (start-up stays short), runs it, turns errors into a line
// on stderr and an exit code: 2 for wrong use, a job's own for `run` and its like, else 0 or 1.

import { Command, CommanderError } from 'commander'
import { createOutput } from './terminal/output.ts'
import { CliError, say, UsageError, type Cli } from './terminal/cli.ts'

interface Entry {
  readonly summary: string
  readonly load: () => Promise<{ readonly command: (cli: Cli) => Command }>
  /** What a failure of ours ends with; 1 unless told. */
  readonly failureCode?: number
}

const commands: Readonly<Record<string, Entry>> = {
  up: { summary: 'run the whole stack on this machine', load: () => import('./up.ts') },
  demo: { summary: 'start the stack, run two workflows, show everything', load: () => import('./demo.ts') },
  agent: { summary: 'run an agent on this machine', load: () => import('./agent.ts') },
  'control-plane': { summary: 'run a control plane', load: () => import('./control-plane.ts') },
  nats: { summary: 'write the configuration of a nats-server', load: () => import('./nats.ts') },
  run: {
    summary: 'run a container; its output and exit code are ours',
    load: () => import('./run.ts'),
    failureCode: 125,
  },
  submit: { summary: 'submit a job or a RunJobRequest from a file', load: () => import('./submit.ts') },
  ps: { summary: 'list jobs', load: () => import('./ps.ts') },
  show: { summary: 'everything about one job', load: () => import('./show.ts') },
  logs: { summary: 'what a job has said', load: () => import('./logs.ts') },
  attach: { summary: 'follow a job to its end', load: () => import('./attach.ts'), failureCode: 125 },
  wait: { summary: 'wait for jobs to end', load: () => import('./wait.ts'), failureCode: 125 },
  cancel: { summary: 'cancel a job', load: () => import('./cancel.ts') },
  retry: { summary: 'submit an ended job again', load: () => import('./retry.ts') },
  agents: { summary: 'list agents; cordon, uncordon or drain one', load: () => import('./agents.ts') },
  token: { summary: 'make join tokens and API keys', load: () => import('./token.ts') },
  image: { summary: 'check that an image can run workflows', load: () => import('./image.ts') },
  doctor: { summary: 'check the way from here to a running job', load: () => import('./doctor.ts') },
}

const examples = `
Examples:
  dray up                                        the whole stack here, until Ctrl-C
  dray run alpine -- sh -c 'echo hello'          output and exit code of the container
  dray submit examples/hello.json --wait         a workflow, with its updates

DRAY_URL and DRAY_TOKEN say where; without them the stack of this checkout is used.`

/** Runs one command line. Ends the process. */
export async function main(argv: readonly string[]): Promise<void> {
  const stdout = createOutput(process.stdout)
  const stderr = createOutput(process.stderr)
  const cli: Cli = { env: process.env, stdin: process.stdin, stdout, stderr, exitCode: 0 }
  const written: Promise<void>[] = []
  try {
    const program = await programFor(cli, argv[0])
    configure(program, {
      writeOut: (text) => void written.push(stdout.write(text)),
      writeErr: (text) => void written.push(stderr.write(text)),
    })
    await program.parseAsync(argv, { from: 'user' })
  } catch (error) {
    cli.exitCode = await exitCodeOfError(cli, error, commands[argv[0] ?? '']?.failureCode ?? 1)
  }
  await Promise.all(written)
  // Not left to an empty event loop: idle connections must not delay the end. Everything was written by now.
  process.exit(cli.exitCode)
}

/** A program that knows all names, for help and suggestions, and has loaded the wanted one. */
async function programFor(cli: Cli, wanted: string | undefined): Promise<Command> {
  const program = new Command('dray')
    .description('Runs containers and nodetool workflows on machines that you own.')
    .enablePositionalOptions()
    .addHelpText('after', examples)
  for (const [name, { summary, load }] of Object.entries(commands)) {
    program.addCommand(
      name === wanted ? (await load()).command(cli).summary(summary) : new Command(name).summary(summary),
    )
  }
  return program
}

function configure(
  command: Command,
  output: { writeOut: (text: string) => void; writeErr: (text: string) => void },
): void {
  command.exitOverride().configureOutput(output).showHelpAfterError('(--help says more)')
  for (const child of command.commands) configure(child, output)
}

async function exitCodeOfError(cli: Cli, error: unknown, failureCode: number): Promise<number> {
  // Commander has said what it has to say; its own exit codes tell help (0) from errors (1).
  if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : 2
  if (error instanceof UsageError) {
    await say(cli, error.message)
    return 2
  }
  if (error instanceof Error && error.name === 'Interrupted') return 130
  const message = error instanceof Error ? error.message : String(error)
  const hint = (error as { hint?: unknown }).hint
  const requestId = (error as { requestId?: unknown }).requestId
  await say(cli, typeof hint === 'string' && hint !== '' ? `${message}. ${hint}`.replace('..', '.') : message)
  if (typeof requestId === 'string' && !isCallersFault(error)) await say(cli, `request_id ${requestId}`)
  if (cli.env['DRAY_DEBUG'] && error instanceof Error) await say(cli, error.stack ?? '')
  return error instanceof CliError ? error.exitCode : failureCode
}

function isCallersFault(error: unknown): boolean {
  const status = (error as { status?: unknown }).status
  return typeof status === 'number' && status >= 400 && status < 500
}
