// The parts that keep a stack together, each by itself: the state folder's lock, restarts, the log's bound, and children
// that end with their parent.

import { spawn, type ChildProcess } from 'node:child_process'
import { mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { openBoundedLog } from '../../cli/supervise/bounded-log.ts'
import { superviseChild, type ChildEvents, type ChildSpec } from '../../cli/supervise/child.ts'
import { freePort, isFree } from '../../cli/supervise/ports.ts'
import { isRunning, markOf } from '../../cli/supervise/running.ts'
import { claimStateFolder, readPublished, StateFolderInUse } from '../../cli/supervise/state-folder.ts'
import { eventually } from '../support/eventually.ts'

const folder = path.join(import.meta.dirname, '..', '..', 'cli', 'supervise')
const spawned: ChildProcess[] = []
let dir: string
beforeEach(async () => {
  dir = await mkdtemp(path.join(tmpdir(), 'dray-supervise-'))
})
afterEach(async () => {
  for (const child of spawned.splice(0)) child.kill('SIGKILL')
  await rm(dir, { recursive: true, force: true })
})

function start(command: string, ...args: string[]): ChildProcess {
  const child = spawn(command, args, { stdio: ['pipe', 'pipe', 'inherit'] })
  spawned.push(child)
  return child
}

test('a state folder has one holder; what it publishes is withdrawn with it; its key stays', async () => {
  const first = await claimStateFolder(dir)
  const token = first.adminToken()
  first.publish('http://127.0.0.1:1', '/sock')
  first.setChild('nats', process.pid)
  expect(readPublished(dir)).toEqual({ url: 'http://127.0.0.1:1', token, engineSocket: '/sock' })
  expect(JSON.parse(await readFile(path.join(dir, 'pids.json'), 'utf8'))).toEqual({ nats: process.pid })
  expect((await stat(path.join(dir, 'token'))).mode & 0o777).toBe(0o600)
  await expect(claimStateFolder(dir)).rejects.toThrow(StateFolderInUse)
  first.setChild('nats', undefined)
  first.release()
  expect(readPublished(dir)).toBeUndefined()
  const second = await claimStateFolder(dir)
  expect(second.adminToken()).toBe(token)
  second.release()
  expect((await readdir(dir)).toSorted()).toEqual(['logs', 'token'])
})

test('a folder whose holder is gone is taken over, and what still runs of it is ended', async () => {
  const orphan = start('sh', '-c', 'trap "" TERM; echo ready; while :; do sleep 0.1; done')
  await new Promise((resolve) => orphan.stdout?.once('data', resolve))
  const mark = markOf(orphan.pid!)
  const gone = start('true')
  const goneMark = { pid: gone.pid!, startTime: '1' }
  await writeFile(path.join(dir, 'up.json'), JSON.stringify(goneMark))
  await writeFile(path.join(dir, 'marks.json'), JSON.stringify({ nats: mark }))
  const next = await claimStateFolder(dir, { orphanGraceMs: 200 })
  expect(isRunning(mark)).toBe(false)
  next.release()
})

test('a torn lock file does not lock a folder for ever', async () => {
  await writeFile(path.join(dir, 'up.json'), '{"pid":')
  ;(await claimStateFolder(dir)).release()
})

test('superviseChild() starts a dead child again at once, and stop() ends it for good', async () => {
  const pids: (number | undefined)[] = []
  const notices: string[] = []
  const events: ChildEvents = {
    onPid: (_, pid) => void pids.push(pid),
    onNotice: (text) => void notices.push(text),
    force: new AbortController().signal,
  }
  const spec: ChildSpec = {
    name: 'sleeper',
    command: ['sleep', '60'],
    env: process.env,
    log: openBoundedLog(path.join(dir, 'sleeper.log')),
    ready: () => Promise.resolve(true),
    stopDeadlineMs: 5_000,
  }
  const child = await superviseChild(spec, events, new AbortController().signal)
  process.kill(pids[0]!, 'SIGKILL')
  await eventually(() => pids.length === 2, { deadlineMs: 2_000, what: 'it runs again' })
  expect(notices).toEqual(['sleeper ended (SIGKILL); starting it again'])
  await child.stop()
  expect(isRunning(markOf(pids[1]!))).toBe(false)
  expect(pids).toHaveLength(3)
  expect(pids[2]).toBeUndefined()
})

test('superviseChild() hands on the last words of a child that cannot start', async () => {
  const spec = (command: string[]): ChildSpec => ({
    name: 'bad',
    command,
    env: process.env,
    log: openBoundedLog(path.join(dir, 'bad.log')),
    ready: () => Promise.resolve(false),
    stopDeadlineMs: 1_000,
  })
  const events: ChildEvents = { onPid: () => {}, onNotice: () => {}, force: new AbortController().signal }
  const signal = new AbortController().signal
  await expect(superviseChild(spec(['sh', '-c', 'echo no luck >&2; exit 7']), events, signal)).rejects.toThrow(
    /exit code 7[^]*no luck[^]*bad\.log/,
  )
  await expect(superviseChild(spec(['/no/such/program']), events, signal)).rejects.toThrow(/ENOENT/)
})

test('a bounded log keeps its end and one earlier piece', async () => {
  const log = openBoundedLog(path.join(dir, 'x.log'), 100)
  for (let line = 1; line <= 50; line += 1) log.write(Buffer.from(`line ${line}\n`))
  expect(log.tail(2)).toBe('line 49\nline 50')
  const sizes = await Promise.all(['x.log', 'x.log.1'].map(async (name) => (await stat(path.join(dir, name))).size))
  for (const sizeBytes of sizes) expect(sizeBytes).toBeLessThanOrEqual(100)
  expect((await readdir(dir)).length).toBe(2)
})

test('freePort() takes the last one when it is free', async () => {
  const port = await freePort(undefined, '127.0.0.1')
  expect(await isFree(port, '127.0.0.1')).toBe(true)
  expect(await freePort(port, '127.0.0.1')).toBe(port)
})

test.each([
  [
    'parent-watch.ts in a Node child',
    ['--import', path.join(folder, 'parent-watch.ts'), '-e', 'setInterval(() => {}, 1000); console.log("ready")'],
  ],
  ['watched.ts around another program', [path.join(folder, 'watched.ts'), 'sh', '-c', 'echo ready; exec sleep 60']],
])('%s ends when its parent lets go', async (_, args) => {
  const child = start(process.execPath, ...args)
  const ended = new Promise((resolve) => child.once('exit', resolve))
  await new Promise((resolve) => child.stdout?.once('data', resolve))
  child.stdin?.destroy()
  await ended
})
