// Runs the real command line as a process, for end-to-end tests, and a real `dray up` on the shared engine of the run.

import { spawn, type ChildProcess } from 'node:child_process'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { inject } from 'vitest'
import { eventually } from './eventually.ts'

const mainFile = path.join(import.meta.dirname, '..', '..', 'cli', 'main.ts')

export interface CliProcess {
  readonly process: ChildProcess
  stdout(): Buffer
  stderr(): string
  /** The exit code, or the signal's name. */
  readonly exit: Promise<number | string>
}

export interface CliResult {
  readonly code: number | string
  readonly stdout: Buffer
  readonly stderr: string
}

/** The environment of a person who has only this stack. */
export function cliEnv(more: Readonly<Record<string, string>> = {}): Record<string, string> {
  return {
    PATH: process.env['PATH'] ?? '',
    HOME: process.env['HOME'] ?? '/nonexistent',
    DRAY_TEST_RUN: process.env['DRAY_TEST_RUN'] ?? '',
    ...more,
  }
}

export function startCli(
  args: readonly string[],
  env: Readonly<Record<string, string>>,
  stdin?: string | Uint8Array,
): CliProcess {
  const child = spawn(process.execPath, [mainFile, ...args], { env: { ...env }, stdio: ['pipe', 'pipe', 'pipe'] })
  const out: Buffer[] = []
  const err: Buffer[] = []
  child.stdout.on('data', (part: Buffer) => out.push(part))
  child.stderr.on('data', (part: Buffer) => err.push(part))
  child.stdin.on('error', () => {})
  child.stdin.end(stdin)
  const exit = new Promise<number | string>((resolve, reject) => {
    child.once('close', (code, signal) => resolve(code ?? signal ?? 'unknown'))
    child.once('error', reject)
  })
  return { process: child, stdout: () => Buffer.concat(out), stderr: () => Buffer.concat(err).toString(), exit }
}

export async function runCli(
  args: readonly string[],
  env: Readonly<Record<string, string>>,
  stdin?: string | Uint8Array,
): Promise<CliResult> {
  const cli = startCli(args, env, stdin)
  const code = await cli.exit
  return { code, stdout: cli.stdout(), stderr: cli.stderr() }
}

export interface RunningUp {
  readonly cli: CliProcess
  readonly url: string
  readonly token: string
  readonly dir: string
  /** For the other commands. */
  readonly env: Record<string, string>
  pids(): Promise<Record<string, number>>
  stop(): Promise<number | string>
}

/** Its own folder unless one is given, which its giver removes. */
export async function startUp(
  options: { dir?: string; env?: Readonly<Record<string, string>> } = {},
): Promise<RunningUp> {
  const dir = options.dir ?? (await mkdtemp(path.join(tmpdir(), 'dray-up-')))
  const upEnv = cliEnv({
    DOCKER_HOST: `unix://${inject('engineSocket')}`,
    DRAY_INTERNET_NETWORK: 'none',
    ...options.env,
  })
  const cli = startCli(['up', '--state', dir, '--port', '0', '--json'], upEnv)
  const ended = cli.exit.then((code) => {
    throw new Error(`up ended with ${code}:\n${cli.stderr()}`)
  })
  const ready = eventually(() => JSON.parse(cli.stdout().toString()) as { url: string; token: string }, {
    deadlineMs: 40_000,
    what: 'up is ready',
  })
  ended.catch(() => {})
  const { url, token } = await Promise.race([ready, ended])
  return {
    cli,
    url,
    token,
    dir,
    env: cliEnv({ DRAY_URL: url, DRAY_TOKEN: token }),
    pids: async () => JSON.parse(await readFile(path.join(dir, 'pids.json'), 'utf8')) as Record<string, number>,
    async stop() {
      cli.process.kill('SIGTERM')
      const code = await cli.exit
      if (options.dir === undefined) await rm(dir, { recursive: true, force: true })
      return code
    },
  }
}
