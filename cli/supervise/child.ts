// One supervised child: started, watched, started again when it dies, stopped in order.
//
// The first restart comes at once (well within 2 s); one that keeps dying is given growing pauses up to 10 s. The child
// gets a process group of its own, so that Ctrl-C in the terminal reaches us first, and a stdin pipe that closes with us.

import { spawn, type ChildProcess } from 'node:child_process'
import { backoffMs } from '../../shared/backoff.ts'
import { pause } from '../../shared/client/pause.ts'
import type { BoundedLog } from './bounded-log.ts'

export interface ChildSpec {
  readonly name: string
  readonly command: readonly string[]
  readonly env: Readonly<Record<string, string | undefined>>
  readonly log: BoundedLog
  /** One question: can it be used now? Asked again and again. */
  ready(): Promise<boolean>
  /** From SIGTERM to SIGKILL. */
  readonly stopDeadlineMs: number
}

export interface ChildEvents {
  onPid(name: string, pid: number | undefined): void
  /** Something people should know: "nats ended (SIGKILL), starting it again". */
  onNotice(text: string): void
  /** Aborted when somebody does not want to wait for an orderly end. */
  readonly force: AbortSignal
}

export interface SupervisedChild {
  readonly name: string
  /** Stops it and its supervision; resolves when it is gone. Idempotent. */
  stop(): Promise<void>
}

const readyDeadlineMs = 30_000
const steadyMs = 10_000
const restartBackoff = { firstMs: 200, maxMs: 10_000 }

/** Resolves once the child is ready. Rejects with its last words when it dies or stays silent before that. */
export async function superviseChild(
  spec: ChildSpec,
  events: ChildEvents,
  signal: AbortSignal,
): Promise<SupervisedChild> {
  const stopping = new AbortController()
  let running = launch(spec, events)
  await untilReady(spec, running, signal).catch(async (error: unknown) => {
    await end(running, spec.stopDeadlineMs, events.force)
    events.onPid(spec.name, undefined)
    throw error
  })

  const watch = async (): Promise<void> => {
    let quickDeaths = 0
    while (!stopping.signal.aborted) {
      const how = await running.exit
      if (stopping.signal.aborted) return
      quickDeaths = performance.now() - running.startedAtMs < steadyMs ? quickDeaths + 1 : 0
      events.onNotice(`${spec.name} ended (${how}); starting it again`)
      await pause(quickDeaths < 2 ? 50 : backoffMs(quickDeaths - 2, restartBackoff, Math.random()), stopping.signal)
      running = launch(spec, events)
    }
  }
  // Its only rejection is the abort of a pause, which is how `stop` ends it.
  const watching = watch().catch(() => {})

  return {
    name: spec.name,
    async stop() {
      stopping.abort(new Error('stopping'))
      await end(running, spec.stopDeadlineMs, events.force)
      await watching
      events.onPid(spec.name, undefined)
    },
  }
}

interface Running {
  readonly process: ChildProcess
  readonly startedAtMs: number
  /** How it ended, in words. Never rejects. */
  readonly exit: Promise<string>
  ended(): boolean
}

function launch(spec: ChildSpec, events: ChildEvents): Running {
  const [program = '', ...args] = spec.command
  const child = spawn(program, args, { detached: true, env: spec.env, stdio: ['pipe', 'pipe', 'pipe'] })
  let ended = false
  const exit = new Promise<string>((resolve) => {
    child.once('exit', (code, killedBy) => resolve(killedBy ?? `exit code ${code}`))
    child.once('error', (error) => resolve(error.message))
  }).then((how) => {
    ended = true
    return how
  })
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk: Buffer) => spec.log.write(chunk))
  // The pipe breaks when the child dies, which `exit` already says.
  child.stdin.on('error', () => {})
  events.onPid(spec.name, child.pid)
  return { process: child, startedAtMs: performance.now(), exit, ended: () => ended }
}

async function untilReady(spec: ChildSpec, running: Running, signal: AbortSignal): Promise<void> {
  const deadline = performance.now() + readyDeadlineMs
  while (performance.now() < deadline) {
    if (await spec.ready().catch(() => false)) return
    if (running.ended()) throw new Error(`${spec.name} ended at once (${await running.exit}).\n${lastWords(spec)}`)
    await pause(40, signal)
  }
  throw new Error(`${spec.name} was not ready within ${readyDeadlineMs / 1000} s.\n${lastWords(spec)}`)
}

function lastWords(spec: ChildSpec): string {
  return `${spec.log.tail(15)}\nThe whole log is in "${spec.log.path}".`
}

async function end(running: Running, deadlineMs: number, force: AbortSignal): Promise<void> {
  if (running.ended()) return
  running.process.kill('SIGTERM')
  const limit = AbortSignal.any([force, AbortSignal.timeout(deadlineMs)])
  const kill = (): void => void running.process.kill('SIGKILL')
  if (limit.aborted) kill()
  else limit.addEventListener('abort', kill, { once: true })
  await running.exit
  limit.removeEventListener('abort', kill)
}
