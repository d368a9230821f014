// What every command works with: the environment, the two outputs, the client, the exit code. Commands read nothing else
// of the process, so that tests can run them without one.

import { createClient, type Client } from '../../shared/client/create-client.ts'
import { defaultStateDir } from '../../deploy/tools.ts'
import { readPublished } from '../supervise/state-folder.ts'
import type { Output } from './output.ts'
import type { Region } from './region.ts'

export interface Cli {
  readonly env: Readonly<Record<string, string | undefined>>
  readonly stdin: NodeJS.ReadStream
  readonly stdout: Output
  readonly stderr: Output
  /** What the process will end with. */
  exitCode: number
  /** Set while a progress region is on the screen: every other write goes through it. */
  region?: Region | undefined
}

/** Wrong use of the command line: exit code 2, before anything was done. */
export class UsageError extends Error {}

/** A failure with an exit code of its own. */
export class CliError extends Error {
  readonly exitCode: number

  constructor(message: string, exitCode: number, cause?: unknown) {
    super(message, cause === undefined ? {} : { cause })
    this.exitCode = exitCode
  }
}

/** A line of ours. Always on stderr: stdout belongs to the job or to the one useful value. */
export async function say(cli: Cli, text: string): Promise<void> {
  const lines = text.split('\n').map((line) => `dray: ${line}\n`)
  const write = (): Promise<void> => cli.stderr.write(lines.join(''))
  await (cli.region ? cli.region.around(write) : write())
}

export async function printJson(cli: Cli, value: unknown): Promise<void> {
  await cli.stdout.write(`${JSON.stringify(value, null, cli.stdout.isTTY ? 2 : undefined)}\n`)
}

export interface Address {
  readonly url: string
  readonly token: string | undefined
  readonly source: 'environment' | 'state folder'
}

/** DRAY_URL and DRAY_TOKEN; what is missing comes from the stack on this machine, where one runs. */
export function findAddress(cli: Cli): Address {
  const { DRAY_URL: url, DRAY_TOKEN: token } = cli.env
  if (url) return { url, token, source: 'environment' }
  const local = readPublished(defaultStateDir(cli.env))
  if (local) return { url: local.url, token: token ?? local.token, source: 'state folder' }
  throw new UsageError('No control plane is known. Set DRAY_URL and DRAY_TOKEN, or start a stack here with "dray up".')
}

export function clientOf(cli: Cli): Client {
  const { url, token } = findAddress(cli)
  return createClient({ url, token })
}

/** Colours only for people who want them. */
export function paint(cli: Cli, output: Output, style: keyof typeof styles, text: string): string {
  const plain = !output.isTTY || cli.env['NO_COLOR'] || cli.env['TERM'] === 'dumb'
  return plain ? text : `\u001B[${styles[style]}m${text}\u001B[0m`
}

const styles = { dim: 2, bold: 1, red: 31, green: 32, yellow: 33 }
