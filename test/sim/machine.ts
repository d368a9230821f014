// A machine with its Docker engine and its containers: what runs on whatever happens to the agent. A container does what
// its environment variable SIM says: it prints numbered lines at a pace and exits with a code. Its log keeps everything.
import type { History, ContainerStory } from './history.ts'
import { createProc, type Host, type Loop, type LoopEvent, type Proc } from './loop.ts'

/** What a container does. */
export interface Script {
  readonly lines: number
  readonly everyMs: number
  /** From the last line to the exit. */
  readonly restMs: number
  readonly exitCode: number
  readonly oom: boolean
  readonly ignoresTerm: boolean
}

export interface LogEntry {
  readonly stream: 'stdout' | 'stderr'
  readonly text: string
  readonly atMs: number
}

export interface SimContainer {
  readonly id: string
  readonly name: string
  readonly labels: Readonly<Record<string, string>>
  readonly script: Script
  readonly story: ContainerStory
  readonly log: Record<'stdout' | 'stderr', LogEntry[]>
  status: 'created' | 'running' | 'exited'
  exitCode: number
  oomKilled: boolean
  startedAtMs: number | null
  finishedAtMs: number | null
  /** The life of the engine that saw it start, and that saw it end. */
  startedIn: number | null
  endedIn: number | null
  /** Its own events, which end with it. */
  readonly life: Proc
  /** What it does next, while it runs. */
  next: LoopEvent | null
  /** Told of each line and of the end; may be gone after that. */
  readonly watchers: Set<(news: LogEntry | 'end') => void>
}

export interface Machine {
  readonly host: Host
  /** The engine's own process. */
  engine: Proc
  engineState: 'up' | 'away' | 'hung'
  /** What a start of a container takes longer. */
  slowStartMs: number
  /** Whoever kills it takes along what it was about to start. */
  engineKills: number
  bootId: string
  /** Which process of its engine it is: none remembers what an earlier one saw. */
  engineLife: number
  readonly containers: Map<string, SimContainer>
  /** Calls that it has taken while it hung: answered when it goes on. */
  readonly hungCalls: (() => void)[]
  /** Told when the engine goes. */
  readonly onEngineLoss: Set<() => void>
  create(name: string, labels: Record<string, string>, gpus: readonly string[], script: Script): SimContainer
  start(container: SimContainer): void
  kill(container: SimContainer, signal: string): void
  remove(container: SimContainer): void
  /** The engine goes away; with `killsContainers` it takes its containers along (no live-restore). */
  loseEngine(killsContainers: boolean): void
  bringEngine(): void
  /** Power off and on: everything that ran is over. */
  reboot(): void
  dropSockets(): void
  /** From now on containers print and end without long pauses; what they print and how they end stays the same. */
  hurry(): void
  readonly sockets: Set<() => void>
}

/** The wall clock of the machine, in ms since 1970. */
export type WallClock = (host: Host) => number

const AFTER_TERM_MS = 30
const HURRIED_MS = 100

export function createMachine(loop: Loop, history: History, host: Host, wall: WallClock): Machine {
  let made = 0
  let boots = 1
  let longestWaitMs = Infinity
  const end = (container: SimContainer, exitCode: number, oomKilled: boolean): void => {
    if (container.status !== 'running') return
    Object.assign(container, { status: 'exited', exitCode, oomKilled, finishedAtMs: wall(host) })
    container.endedIn = machine.engineState === 'away' ? null : machine.engineLife
    container.story.endedMs = loop.nowMs
    loop.kill(container.life)
    history.trace('exited', container.name, exitCode)
    for (const watcher of container.watchers) watcher('end')
  }
  const print = (container: SimContainer): void => {
    const number = (container.story.printed += 1)
    const stream = number % 5 === 0 ? 'stderr' : 'stdout'
    const entry = { stream, text: `a${container.story.attempt} ${stream} ${number}`, atMs: wall(host) } as const
    container.log[stream].push(entry)
    for (const watcher of container.watchers) watcher(entry)
  }
  const live = (container: SimContainer): void => {
    const { lines, everyMs, restMs, exitCode, oom } = container.script
    const after = (ms: number, run: () => void): void => {
      container.next = loop.at(container.life, Math.min(ms, longestWaitMs), run)
    }
    const next = (): void => {
      if (container.story.printed >= lines) return after(restMs, finish)
      print(container)
      after(everyMs, next)
    }
    const finish = (): void => end(container, exitCode, oom)
    after(everyMs / 2, next)
  }
  const machine: Machine = {
    host,
    engine: createProc(`engine@${host.name}`, host),
    engineState: 'up',
    slowStartMs: 0,
    engineKills: 0,
    bootId: `${host.name}-boot-1`,
    engineLife: 1,
    containers: new Map(),
    hungCalls: [],
    onEngineLoss: new Set(),
    sockets: new Set(),
    create(name, labels, gpus, script) {
      made += 1
      const id = `${host.name}-${made}`
      const container = newContainer(id, name, labels, script, host, gpus)
      history.containers.push(container.story)
      history.trace('created', name, host.name)
      machine.containers.set(id, container)
      return container
    },
    start(container) {
      if (container.status !== 'created') return
      Object.assign(container, { status: 'running', startedAtMs: wall(host), startedIn: machine.engineLife })
      container.story.startedMs = loop.nowMs
      container.story.startedPlace = history.place()
      history.trace('started', container.name, host.name)
      live(container)
    },
    kill(container, signal) {
      if (container.status !== 'running') return
      if (signal === 'SIGKILL') return end(container, 137, false)
      if (!container.script.ignoresTerm) loop.at(container.life, AFTER_TERM_MS, () => end(container, 143, false))
    },
    remove(container) {
      end(container, 137, false)
      container.story.removedMs = loop.nowMs
      history.trace('removed', container.name)
      machine.containers.delete(container.id)
      for (const watcher of container.watchers) watcher('end')
    },
    loseEngine(killsContainers) {
      machine.engineState = 'away'
      machine.engineLife += 1
      machine.hungCalls.length = 0
      for (const callback of machine.onEngineLoss) callback()
      machine.onEngineLoss.clear()
      machine.dropSockets()
      if (!killsContainers) return
      machine.engineKills += 1
      for (const container of machine.containers.values()) end(container, 255, false)
    },
    bringEngine() {
      machine.engineState = 'up'
      for (const call of machine.hungCalls.splice(0)) call()
    },
    reboot() {
      machine.loseEngine(true)
      boots += 1
      machine.bootId = `${host.name}-boot-${boots}`
    },
    dropSockets() {
      for (const close of machine.sockets) close()
      machine.sockets.clear()
    },
    hurry() {
      longestWaitMs = HURRIED_MS
      for (const container of machine.containers.values()) {
        const { next } = container
        if (container.status !== 'running' || next === null) continue
        next.cancelled = true
        container.next = loop.at(container.life, HURRIED_MS, next.run)
      }
    },
  }
  return machine
}

function newContainer(
  id: string,
  name: string,
  labels: Record<string, string>,
  script: Script,
  host: Host,
  gpus: readonly string[],
): SimContainer {
  const story: ContainerStory = {
    host: host.name,
    agent: labels['dray.agent'] ?? '',
    job: labels['dray.job'] ?? '',
    attempt: Number(labels['dray.attempt']),
    gpus,
    startedMs: null,
    startedPlace: 0,
    endedMs: null,
    removedMs: null,
    printed: 0,
    ignoresTerm: script.ignoresTerm,
  }
  return {
    id,
    name,
    labels,
    script,
    story,
    log: { stdout: [], stderr: [] },
    status: 'created',
    exitCode: 0,
    oomKilled: false,
    startedAtMs: null,
    finishedAtMs: null,
    startedIn: null,
    endedIn: null,
    life: createProc(`container ${name}`, host),
    next: null,
    watchers: new Set(),
  }
}
