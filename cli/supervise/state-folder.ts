// The state folder of a stack on this machine: who holds it, what runs, where it answers.
//
//   up.json     the process that holds the folder; one at a time
//   pids.json   {name: pid} of its children, for people and tests; marks.json says the same with start times
//   ports.json  ports of the last run, taken again when they are free
//   url, token, engine-socket  how to reach it: the other commands read these (mode 0600)
//   logs/       output of the children
//
// A folder whose holder was killed is taken over: what it left running is waited for, since it ends by itself.

import { chmodSync, linkSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { newSecret } from '../../shared/ids.ts'
import { ensureEnded, isRunning, markOf, type ProcessMark } from './running.ts'

export interface StateFolder {
  readonly dir: string
  path(...parts: string[]): string
  setChild(name: string, pid: number | undefined): void
  readPorts(): Readonly<Record<string, number>>
  writePorts(ports: Readonly<Record<string, number>>): void
  /** The admin key of this folder's database, made once. */
  adminToken(): string
  publish(url: string, engineSocket: string): void
  /** Gives the folder back; what was published is withdrawn. */
  release(): void
}

/** The sentence for people is the message. */
export class StateFolderInUse extends Error {}

/** What only holds while the stack runs. */
const published = ['url', 'engine-socket', 'pids.json', 'marks.json']

/** How long the children of a killed holder may take to end by themselves. */
const usualOrphanGraceMs = 12_000

/** Takes the folder for this process. Throws StateFolderInUse while another one holds it. */
export async function claimStateFolder(
  path: string,
  { orphanGraceMs = usualOrphanGraceMs } = {},
): Promise<StateFolder> {
  const dir = resolve(path)
  mkdirSync(join(dir, 'logs'), { recursive: true, mode: 0o711 })
  takeLock(dir)
  try {
    const left = Object.values((readJson(join(dir, 'marks.json')) ?? {}) as Record<string, ProcessMark>)
    await Promise.all(left.map((mark) => ensureEnded(mark, orphanGraceMs)))
    for (const name of published) rmSync(join(dir, name), { force: true })
  } catch (error) {
    rmSync(join(dir, 'up.json'), { force: true })
    throw error
  }
  return folderAt(dir)
}

function folderAt(dir: string): StateFolder {
  const marks = new Map<string, ProcessMark>()
  const inside = (...parts: string[]): string => join(dir, ...parts)
  return {
    dir,
    path: inside,
    setChild(name, pid) {
      if (pid === undefined) marks.delete(name)
      else marks.set(name, markOf(pid))
      replaceFile(inside('marks.json'), JSON.stringify(Object.fromEntries(marks)))
      replaceFile(
        inside('pids.json'),
        JSON.stringify(Object.fromEntries([...marks].map(([key, { pid: id }]) => [key, id]))),
      )
    },
    readPorts: () => (readJson(inside('ports.json')) ?? {}) as Record<string, number>,
    writePorts: (ports) => replaceFile(inside('ports.json'), JSON.stringify(ports)),
    adminToken() {
      const known = readText(inside('token'))
      if (known) return known
      const token = newSecret('dray')
      replaceFile(inside('token'), `${token}\n`)
      return token
    },
    publish(url, engineSocket) {
      replaceFile(inside('engine-socket'), `${engineSocket}\n`)
      replaceFile(inside('url'), `${url}\n`)
    },
    release() {
      for (const name of [...published, 'up.json']) rmSync(inside(name), { force: true })
    },
  }
}

/** A hard link is made by one process only; a lock whose holder is gone is moved aside first. */
function takeLock(dir: string): void {
  const lock = join(dir, 'up.json')
  const mine = `${lock}.${process.pid}`
  writeFileSync(mine, JSON.stringify(markOf(process.pid)))
  try {
    for (let tries = 0; tries < 5; tries += 1) {
      if (tryLink(mine, lock)) return
      const holder = readMark(lock)
      if (holder && isRunning(holder)) break
      moveAside(lock, holder)
    }
    const holder = readMark(lock)
    throw new StateFolderInUse(
      `A stack already runs in "${dir}"${holder ? ` (process ${holder.pid})` : ''}. Use it, stop it, or give another folder with --state.`,
    )
  } finally {
    rmSync(mine, { force: true })
  }
}

function moveAside(lock: string, stale: ProcessMark | undefined): void {
  const aside = `${lock}.stale.${process.pid}`
  try {
    renameSync(lock, aside)
  } catch {
    // Somebody else moved it: the next try sees who holds it now.
    return
  }
  const moved = readMark(aside)
  // Between our read and our move another process took the lock: give it back.
  if (moved && moved.pid !== stale?.pid && isRunning(moved)) tryLink(aside, lock)
  rmSync(aside, { force: true })
}

function tryLink(from: string, to: string): boolean {
  try {
    linkSync(from, to)
    return true
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') return false
    throw error
  }
}

/** Readers see the old or the new content, never half of it. */
function replaceFile(path: string, content: string): void {
  writeFileSync(`${path}.new`, content, { mode: 0o600 })
  chmodSync(`${path}.new`, 0o600)
  renameSync(`${path}.new`, path)
}

function readText(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8').trim()
  } catch {
    // Not there yet.
    return undefined
  }
}

function readMark(path: string): ProcessMark | undefined {
  return readJson(path) as ProcessMark | undefined
}

function readJson(path: string): unknown {
  try {
    return JSON.parse(readFileSync(path, 'utf8')) as unknown
  } catch {
    // Missing or torn: as good as nothing.
    return undefined
  }
}

export interface Published {
  readonly url: string
  readonly token: string
  readonly engineSocket: string | undefined
}

/** How the other commands reach the stack of a state folder; undefined where none was published. */
export function readPublished(path: string): Published | undefined {
  const [url, token, engineSocket] = ['url', 'token', 'engine-socket'].map((name) =>
    readText(join(resolve(path), name)),
  )
  return url && token ? { url, token, engineSocket } : undefined
}
