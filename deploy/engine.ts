// A Docker engine of our own, for a machine that has none.
//
// `startEngine` starts dockerd with its data, socket and log in the state folder, as a child that dies with us (the
// kernel sends it SIGTERM when this process goes), and resolves once `/_ping` answers. Whoever started it stops it.
// An engine whose starter lives is shared and not stopped by us; one whose starter was killed is waited for, since it is
// on its way out, and what it left (a stale pid file) is removed. It never touches an engine that it did not start.
//
// It needs root, dockerd and a kernel with namespaces; `deploy/setup.sh` sees to dockerd.

import { spawn, type ChildProcess } from 'node:child_process'
import { createHash } from 'node:crypto'
import { closeSync, mkdirSync, openSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { dirname, join, resolve } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { engineAnswers, findEngine } from './engine-api.ts'
import { clearContainerd, unmountBelow } from './engine-remains.ts'
import { mayBridge, networkFlags, noteForwarding, restoreForwarding, type EngineNetwork } from './engine-network.ts'
import { startTimeOf, tryCommand, waitForExit } from './engine-process.ts'

export interface Engine {
  socketPath: string
  pid: number
  network: EngineNetwork
  /** Ends the engine and its containers and waits until they are gone. Idempotent; does nothing to an engine of others. */
  stop(): Promise<void>
}

export interface StartEngine {
  stateDir: string
  /** `auto` takes the best way that works; `isolated` never touches the machine's own network (tests). */
  network?: 'auto' | 'isolated'
  /** Further flags of dockerd. */
  flags?: readonly string[]
  /** A folder that holds an engine of its own with all that it needs; else the machine's programs are taken. */
  root?: string | undefined
}

interface Places {
  dir: string
  socketPath: string
  execRoot: string
  pidFile: string
  noteFile: string
  recordFile: string
  logFile: string
}

interface EngineRecord {
  pid: number
  startTime: string
  owner: number
  ownerStartTime: string
  network: EngineNetwork
}

const IN_ROOT = new URL('in-root.sh', import.meta.url).pathname

const readyDeadlineMs = 30_000
/** dockerd gives containers 5 s (`--shutdown-timeout`), then needs a few more to end containerd. */
const stopDeadlineMs = 20_000

/** The machine's engine when one answers, else one of our own. */
export async function provideEngine(
  options: StartEngine & { env: Record<string, string | undefined> },
): Promise<{ socketPath: string; engine?: Engine }> {
  const found = await findEngine(options.env)
  if (found !== undefined) return { socketPath: found }
  const engine = await startEngine(options)
  return { socketPath: engine.socketPath, engine }
}

export async function startEngine(options: StartEngine): Promise<Engine> {
  const { stateDir, network = 'auto' } = options
  const places = placesIn(stateDir)
  mkdirSync(places.dir, { recursive: true, mode: 0o711 })
  mkdirSync(places.execRoot, { recursive: true, mode: 0o711 })
  const earlier = await settleEarlier(places)
  if (earlier !== undefined) return earlier
  await restoreForwarding(places.noteFile)
  const ways: EngineNetwork[] = ['isolated', 'none']
  if (network === 'auto' && (await mayBridge())) ways.unshift('bridge')
  writeFileSync(places.logFile, '', { mode: 0o600 })
  const failures: string[] = []
  for (const way of ways) {
    const outcome = await launch(places, way, options)
    if (typeof outcome !== 'string') return outcome
    failures.push(`${way}: ${outcome}`)
  }
  throw new Error(`Cannot start a Docker engine. ${failures.join('\n')}\nThe whole log is in "${places.logFile}".`)
}

function placesIn(stateDir: string): Places {
  const dir = join(resolve(stateDir), 'engine')
  // Unix socket paths end at 107 bytes and containerd puts its own 40 below the exec root.
  const hash = createHash('sha256').update(dir).digest('hex').slice(0, 12)
  const runDir = dir.length > 56 ? `/run/dray-${hash}` : dir
  return {
    dir,
    socketPath: join(runDir, 'sock'),
    execRoot: join(runDir, 'exec'),
    pidFile: join(dir, 'pid'),
    noteFile: join(dir, 'forwarding.json'),
    recordFile: join(dir, 'engine.json'),
    logFile: join(dir, 'dockerd.log'),
  }
}

/** Shares a running engine, or waits for a dying one and clears its place. */
async function settleEarlier(places: Places): Promise<Engine | undefined> {
  const record = readRecord(places)
  if (record !== undefined && startTimeOf(record.pid) === record.startTime) {
    const owned = startTimeOf(record.owner) === record.ownerStartTime
    const gone = !owned && (await waitForExit(record.pid, record.startTime, stopDeadlineMs))
    if (!gone && (await engineAnswers(places.socketPath))) {
      const { pid, network, startTime } = record
      const stop = owned ? async () => {} : once(() => stopProcess(places, pid, startTime))
      return { socketPath: places.socketPath, pid, network, stop }
    }
    if (!gone) await stopProcess(places, record.pid, record.startTime)
  }
  await clearContainerd(places.execRoot)
  removeFiles(places)
  return undefined
}

/** Starts dockerd one way. Returns the end of its log when it does not come up. */
async function launch(
  places: Places,
  network: EngineNetwork,
  { flags: more = [], root }: StartEngine,
): Promise<Engine | string> {
  if (network === 'bridge') await noteForwarding(places.noteFile)
  const { through, flags } = networkFlags(network)
  const shared = new Set([places.dir, dirname(places.execRoot)])
  const inRoot = root === undefined ? [] : ['sh', IN_ROOT, root, join(places.dir, 'run'), ...shared, '--']
  const command = [...(await dyingWithUs()), ...through, ...inRoot, 'dockerd', ...flags, ...placeFlags(places), ...more]
  const log = openSync(places.logFile, 'a', 0o600)
  // Detached: a Ctrl-C in the terminal must reach us first, so that jobs end in order before their engine does.
  const child = spawn(command[0]!, command.slice(1), { detached: true, stdio: ['ignore', log, log] })
  child.unref()
  closeSync(log)
  const failed = new Promise<string>((fulfil) => child.once('error', (error) => fulfil(error.message)))
  const failure = await Promise.race([failed, untilReady(child, places)])
  if (failure === undefined && child.pid !== undefined) return ownEngine(places, child.pid, network)
  if (child.pid !== undefined) await stopProcess(places, child.pid, startTimeOf(child.pid))
  return failure ?? 'dockerd has no process id'
}

function ownEngine(places: Places, pid: number, network: EngineNetwork): Engine {
  const startTime = startTimeOf(pid) ?? ''
  const record: EngineRecord = {
    pid,
    startTime,
    owner: process.pid,
    ownerStartTime: startTimeOf(process.pid) ?? '',
    network,
  }
  writeFileSync(places.recordFile, JSON.stringify(record))
  return { socketPath: places.socketPath, pid, network, stop: once(() => stopProcess(places, pid, startTime)) }
}

function placeFlags(places: Places): string[] {
  return [
    ['--host', `unix://${places.socketPath}`],
    ['--data-root', join(places.dir, 'data')],
    ['--exec-root', places.execRoot],
    ['--pidfile', places.pidFile],
    ['--shutdown-timeout', '5'],
  ].flat()
}

/** setpriv asks the kernel to end dockerd when this process ends, however it ends. */
async function dyingWithUs(): Promise<string[]> {
  const prefix = ['setpriv', '--pdeathsig', 'TERM', '--']
  return (await tryCommand(prefix[0]!, [...prefix.slice(1), 'true'])) === undefined ? [] : prefix
}

async function untilReady(child: ChildProcess, places: Places): Promise<string | undefined> {
  const end = Date.now() + readyDeadlineMs
  while (Date.now() < end) {
    if (child.exitCode !== null || child.signalCode !== null) return logTail(places)
    if (await engineAnswers(places.socketPath)) return undefined
    await sleep(50)
  }
  return `no answer within ${readyDeadlineMs} ms. ${logTail(places)}`
}

async function stopProcess(places: Places, pid: number, startTime: string | undefined): Promise<void> {
  if (startTime !== undefined && startTimeOf(pid) === startTime) {
    process.kill(pid, 'SIGTERM')
    if (!(await waitForExit(pid, startTime, stopDeadlineMs))) {
      process.kill(pid, 'SIGKILL')
      await waitForExit(pid, startTime, 2_000)
    }
  }
  removeFiles(places)
  await unmountBelow([places.dir, places.execRoot])
  await restoreForwarding(places.noteFile)
}

function removeFiles(places: Places): void {
  for (const path of [places.pidFile, places.recordFile, places.socketPath]) rmSync(path, { force: true })
}

function readRecord(places: Places): EngineRecord | undefined {
  try {
    return JSON.parse(readFileSync(places.recordFile, 'utf8')) as EngineRecord
  } catch {
    // No record, or a torn one: no engine of ours is known.
    return undefined
  }
}

function logTail(places: Places): string {
  return readFileSync(places.logFile, 'utf8').trimEnd().split('\n').slice(-3).join('\n')
}

function once(action: () => Promise<void>): () => Promise<void> {
  let result: Promise<void> | undefined
  return () => (result ??= action())
}
