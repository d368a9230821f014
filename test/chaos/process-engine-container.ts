// A "container" of the process engine: one child process in a process group of its own, its log, its sockets, and a note
// on disk, so that the next engine process finds it. Its streams are read at the child's pace. When its engine dies the
// child dies with it, as containers do where live-restore is off, and the next engine says exit code 255, as Docker does.

import { spawn, type ChildProcess } from 'node:child_process'
import { mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Duplex } from 'node:stream'
import { startTimeOf } from '../../deploy/engine-process.ts'
import { frame, openLog, type ContainerLog, type LogStream } from './process-engine-log.ts'

export interface ContainerNote {
  readonly id: string
  readonly name: string
  readonly image: string
  readonly command: readonly string[]
  readonly env: readonly string[]
  readonly labels: Readonly<Record<string, string>>
  readonly stopSignal: NodeJS.Signals
  readonly createdAt: string
  state: 'created' | 'running' | 'exited'
  exitCode: number
  startedAt: string
  finishedAt: string
  pid: number
  processStart: string
}

export interface Container {
  readonly note: Readonly<ContainerNote>
  readonly log: ContainerLog
  start(): 'started' | 'already'
  attach(socket: Duplex): void
  /** Resolves with the exit code once it does not run. */
  exited(): Promise<number>
  signal(signal: NodeJS.Signals): boolean
  remove(): Promise<void>
}

export const NEVER = '0001-01-01T00:00:00Z'
const MAX_UNSENT_BYTES = 4 << 20

/** Takes over what an earlier engine process left in the folder, or notes a new container. */
export function openContainer(folder: string, note: ContainerNote): Container {
  mkdirSync(folder, { recursive: true })
  const log = openLog(join(folder, 'log'))
  const sockets = new Set<Duplex>()
  const waiters = new Set<(code: number) => void>()
  let child: ChildProcess | null = null

  const save = (): void => {
    writeFileSync(join(folder, 'note.next'), JSON.stringify(note))
    renameSync(join(folder, 'note.next'), join(folder, 'note'))
  }
  const finish = (code: number): void => {
    if (note.state !== 'running') return
    log.end()
    Object.assign(note, { state: 'exited', exitCode: code, finishedAt: new Date().toISOString() })
    save()
    child = null
    for (const socket of sockets) socket.end()
    for (const tell of waiters) tell(code)
    waiters.clear()
  }
  const onOutput = (stream: LogStream) => (bytes: Buffer) => {
    log.write(stream, bytes)
    for (const socket of sockets) {
      socket.write(frame(stream, bytes))
      if (socket.writableLength > MAX_UNSENT_BYTES) socket.destroy()
    }
  }
  if (note.state === 'running') {
    killGroup(note, 'SIGKILL')
    finish(255)
  } else save()
  return {
    note,
    log,
    start() {
      if (note.state !== 'created') return 'already'
      const started = run(note)
      child = started
      const { pid = 0 } = started
      const startedAt = new Date().toISOString()
      Object.assign(note, { state: 'running', pid, processStart: startTimeOf(pid) ?? '', startedAt })
      save()
      started.stdout?.on('data', onOutput('stdout'))
      started.stderr?.on('data', onOutput('stderr'))
      started.once('error', () => finish(127))
      started.once('close', (code, signal) => finish(code ?? 128 + signalNumber(signal)))
      for (const socket of sockets) feed(socket, started)
      return 'started'
    },
    attach(socket) {
      sockets.add(socket)
      socket.on('error', () => socket.destroy()).on('close', () => sockets.delete(socket))
      if (note.state === 'exited') socket.end()
      else if (child) feed(socket, child)
    },
    exited: () => (note.state === 'exited' ? Promise.resolve(note.exitCode) : new Promise((tell) => waiters.add(tell))),
    signal: (signal) => note.state === 'running' && killGroup(note, signal),
    async remove() {
      if (note.state === 'running') {
        const gone = new Promise<number>((tell) => waiters.add(tell))
        killGroup(note, 'SIGKILL')
        await gone
      }
      log.close()
      rmSync(folder, { recursive: true, force: true })
    },
  }
}

/** Null for a folder that a kill left half made. */
export function readNote(folder: string): ContainerNote | null {
  try {
    return JSON.parse(readFileSync(join(folder, 'note'), 'utf8')) as ContainerNote
  } catch {
    // It was never answered for: as if it had not been created.
    return null
  }
}

function run(note: ContainerNote): ChildProcess {
  const words = ['--pdeathsig', 'KILL', '--', ...note.command]
  const env = Object.fromEntries(
    note.env.map((pair) => [pair.slice(0, pair.indexOf('=')), pair.slice(pair.indexOf('=') + 1)]),
  )
  return spawn('setpriv', words, {
    detached: true,
    env: { PATH: process.env['PATH'] ?? '', TMPDIR: process.env['TMPDIR'] ?? '', ...env, CHAOS_CONTAINER: note.id },
    stdio: ['pipe', 'pipe', 'pipe'],
  })
}

function feed(socket: Duplex, child: ChildProcess): void {
  // A child that ends without reading breaks the pipe: no error of ours.
  child.stdin?.on('error', () => undefined)
  socket.on('data', (bytes: Buffer) => void child.stdin?.write(bytes))
  socket.on('end', () => child.stdin?.end())
}

function killGroup({ pid, processStart }: ContainerNote, signal: NodeJS.Signals): boolean {
  const now = startTimeOf(pid)
  // The leader may be gone while its group lives on; another process must not have taken its number.
  if (pid === 0 || (now !== undefined && now !== processStart)) return false
  try {
    process.kill(-pid, signal)
    return true
  } catch {
    // No such group: it ended by itself.
    return false
  }
}

function signalNumber(signal: NodeJS.Signals | null): number {
  return { SIGHUP: 1, SIGINT: 2, SIGKILL: 9, SIGTERM: 15 }[signal as string] ?? 9
}
