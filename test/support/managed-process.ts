// A child process of a test: started and stopped by the test, killed at will, its output kept for the failure message.
// Only processes that were started here are ever ended, by their id.
import { spawn, type ChildProcess } from 'node:child_process'
import { runMark } from './leftovers.ts'

const KEPT_OUTPUT_CHARACTERS = 64 * 1024

export interface ProcessOptions {
  readonly name: string
  readonly command: string
  readonly args: readonly string[]
  readonly env: Readonly<Record<string, string>>
}

export interface ManagedProcess {
  /** Process id while it runs. */
  readonly pid: number | undefined
  start(): void
  /** Ends it with `signal` and resolves with its exit code (null when a signal ended it). */
  stop(signal?: NodeJS.Signals): Promise<number | null>
  /** Sends a signal and does not wait: SIGSTOP, SIGCONT. */
  signal(signal: NodeJS.Signals): void
  /** Resolves at its end. */
  ended(): Promise<number | null>
  output(): string
}

/** So that a process that outlives a test that ran out of time is found and ended (leftovers.ts). */
function runMarkOf({ [runMark]: mark }: Readonly<Record<string, string | undefined>>): Record<string, string> {
  return mark === undefined ? {} : { [runMark]: mark }
}

export function manageProcess(options: ProcessOptions): ManagedProcess {
  let child: ChildProcess | null = null
  let end: Promise<number | null> = Promise.resolve(null)
  let output = ''
  const keep = (chunk: Buffer): void => {
    output = (output + chunk.toString()).slice(-KEPT_OUTPUT_CHARACTERS)
  }
  return {
    get pid() {
      return child?.pid
    },
    start() {
      // The open stdin is the leash: children of ours end when it closes, should this process die hard.
      const started = spawn(options.command, [...options.args], {
        env: { ...runMarkOf(process.env), ...options.env },
        stdio: ['pipe', 'pipe', 'pipe'],
      })
      child = started
      started.stdout.on('data', keep)
      started.stderr.on('data', keep)
      end = new Promise((resolve) => {
        started.once('error', (error) => {
          output += String(error)
          resolve(null)
        })
        started.once('close', (code) => {
          if (child === started) child = null
          resolve(code)
        })
      })
    },
    async stop(signal = 'SIGTERM') {
      child?.kill(signal)
      const deadline = setTimeout(() => child?.kill('SIGKILL'), 20_000)
      const code = await end
      clearTimeout(deadline)
      return code
    },
    signal(signal) {
      child?.kill(signal)
    },
    ended: () => end,
    output: () => `--- ${options.name}\n${output}`,
  }
}
