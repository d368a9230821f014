// One process of the stage, as a supervisor keeps it: up until it is taken down, started again when it ends by itself.
// It dies with the run in any case (namespace.ts). Its log is a file. Only processes started here are ever signalled.

import { spawn, type ChildProcess } from 'node:child_process'
import { closeSync, openSync, readFileSync } from 'node:fs'

export interface PartOptions {
  readonly name: string
  readonly command: string
  readonly args: readonly string[]
  readonly env: Readonly<Record<string, string>>
  readonly logFile: string
  /** It ended although nobody asked it to. */
  readonly onExit: (part: string, code: number | null, said: string) => void
}

export interface Part {
  readonly name: string
  /** While it runs. */
  readonly pid: number | undefined
  up(): void
  /** Resolves when it has ended. */
  down(signal: 'SIGKILL' | 'SIGTERM'): Promise<void>
  freeze(): void
  thaw(): void
  log(): string
}

const AGAIN_MS = 500
/** A SIGTERM that is not obeyed by then was not obeyed. */
const TERM_MS = 15_000

export function createPart(options: PartOptions): Part {
  let child: ChildProcess | null = null
  let gone: Promise<void> = Promise.resolve()
  let wanted = false
  let again: NodeJS.Timeout | undefined

  const log = (): string => readFileSync(options.logFile, 'utf8')
  const start = (): void => {
    if (child) return
    const file = openSync(options.logFile, 'a')
    const started = spawn(options.command, [...options.args], {
      env: { ...options.env },
      stdio: ['ignore', file, file],
    })
    closeSync(file)
    child = started
    gone = new Promise((resolve) => {
      started.once('exit', (code) => {
        child = null
        resolve()
        if (!wanted) return
        options.onExit(options.name, code, log().trimEnd().split('\n').slice(-3).join(' / ').slice(0, 600))
        again = setTimeout(start, AGAIN_MS)
      })
    })
  }
  return {
    name: options.name,
    get pid() {
      return child?.pid
    },
    up() {
      wanted = true
      clearTimeout(again)
      start()
    },
    async down(signal) {
      wanted = false
      clearTimeout(again)
      const stopping = child
      if (!stopping) return gone
      stopping.kill(signal)
      // A stopped process sees SIGTERM only when it goes on.
      if (signal === 'SIGTERM') stopping.kill('SIGCONT')
      const late = setTimeout(() => stopping.kill('SIGKILL'), TERM_MS)
      await gone
      clearTimeout(late)
    },
    freeze: () => void child?.kill('SIGSTOP'),
    thaw: () => void child?.kill('SIGCONT'),
    log,
  }
}
