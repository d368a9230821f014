// The port Bus on the simulated NATS, for one control plane; what it promises is what bus/nats-bus.ts and its
// batch-reader.ts promise, at their pace: an answer within three seconds or `unavailable`, a reading that goes on over
// lost consumers and connections for five.
import { endOf, lastNIn } from '../../control-plane/bus/stored-batch.ts'
import type { Bus, StoredBatch } from '../../control-plane/core/bus-port.ts'
import type { JobKey } from '../../control-plane/core/ports.ts'
import type { RunCommand } from '../../shared/agent-protocol.ts'
import { AppError } from '../../shared/errors.ts'
import { pause } from '../../shared/pause.ts'
import { updateSubject } from '../../shared/subjects.ts'
import type { Loop, Proc } from './loop.ts'
import type { NatsLink, NatsLinks } from './nats-links.ts'
import type { NatsServer } from './nats-server.ts'
import type { Network } from './network.ts'
import type { Prng } from './prng.ts'

const DEADLINE_MS = 3_000
const GIVE_UP_MS = 5_000

export interface Nats {
  readonly loop: Loop
  readonly random: Prng
  readonly net: Network
  readonly server: NatsServer
  readonly links: NatsLinks
  readonly core: CoreSubjects
}

/** Core NATS: run commands and hints, to whoever listens now. Some get lost. */
export interface CoreSubjects {
  lossChance: number
  readonly runs: Map<string, Set<{ readonly link: NatsLink; readonly onRun: (command: RunCommand) => void }>>
  readonly hints: Map<string, Set<{ readonly link: NatsLink; readonly onHint: () => void }>>
}

export function createCoreSubjects(): CoreSubjects {
  return { lossChance: 0, runs: new Map(), hints: new Map() }
}

export function createSimBus(nats: Nats, proc: Proc): Bus {
  const { loop, server, core, links } = nats
  const link = links.open(proc)
  const ask = createAsk(nats, link)
  const publish = (deliver: () => void): void => {
    if (!link.isUp || isLost(nats)) return
    nats.net.send(proc, links.server, deliver)
  }
  return {
    publishRun: (agent, command) =>
      publish(() => {
        for (const { link: to, onRun } of core.runs.get(agent) ?? []) deliverTo(nats, to, () => onRun(command))
      }),
    publishHint: (key) =>
      publish(() => {
        for (const { link: to, onHint } of core.hints.get(nameOf(key)) ?? []) deliverTo(nats, to, onHint)
      }),
    onHint: (key, callback) => listen(core.hints, nameOf(key), link, callback),
    readResume: (agent, key) => ask(() => server.lastOf(updateSubject(agent, key))),
    firstSeq: (agent, key) => ask(() => server.firstSeq(updateSubject(agent, key))),
    storedAttempts: ({ tenant, job }) => ask(() => server.attemptsOf(tenant, job)),
    lastSeq: (agent, key) => ask(() => server.lastSeq(updateSubject(agent, key))),
    readBatches: (agent, key, fromN, signal) => readBatches(nats, link, updateSubject(agent, key), fromN, signal),
    status: () => (link.isUp ? null : 'NATS: not connected'),
    mintAgentJwt: async () => 'jwt',
    revokeAgent: async () => undefined,
    agentUrls: () => ['nats://sim'],
    async close() {
      link.close()
      await Promise.resolve(loop.nowMs)
    },
  }
}

function nameOf({ tenant, job }: JobKey): string {
  return `${tenant}/${job}`
}

function isLost({ core, random }: Nats): boolean {
  return core.lossChance > 0 && random.chance(core.lossChance)
}

function deliverTo(nats: Nats, to: NatsLink, run: () => void): void {
  if (to.isUp && !isLost(nats)) nats.net.send(nats.links.server, to.proc, run)
}

function listen(hints: CoreSubjects['hints'], name: string, link: NatsLink, callback: () => void): () => void {
  const listeners = hints.get(name) ?? new Set()
  hints.set(name, listeners)
  const listener = { link, onHint: () => callback() }
  listeners.add(listener)
  // Hints of the time without a connection were lost.
  const unwatch = link.watch({ up: callback })
  return () => {
    unwatch()
    listeners.delete(listener)
    if (listeners.size === 0) hints.delete(name)
  }
}

type Ask = <T>(question: () => T) => Promise<T>

function createAsk({ net, links }: Nats, link: NatsLink): Ask {
  return async (question) => {
    const deadline = AbortSignal.timeout(DEADLINE_MS)
    try {
      await link.ready(deadline)
      return await before(
        deadline,
        net.call(links.server, async () => question()),
      )
    } catch (cause) {
      throw new AppError('unavailable', 'NATS cannot answer.', { cause })
    }
  }
}

/** The promise, or a rejection with the signal's reason. */
export function before<T>(signal: AbortSignal, promise: Promise<T>): Promise<T> {
  return new Promise((resolve, reject) => {
    const onAbort = (): void => reject(signal.reason as Error)
    if (signal.aborted) return onAbort()
    signal.addEventListener('abort', onAbort, { once: true })
    const settled = (): void => signal.removeEventListener('abort', onAbort)
    promise.then(
      (value) => {
        settled()
        resolve(value)
      },
      (error: unknown) => {
        settled()
        reject(error)
      },
    )
  })
}

async function* readBatches(
  nats: Nats,
  link: NatsLink,
  subject: string,
  fromN: number,
  signal: AbortSignal,
): AsyncGenerator<StoredBatch> {
  let nextN = fromN
  let deadlineMs = performance.now() + GIVE_UP_MS
  while (!signal.aborted) {
    const patience = AbortSignal.timeout(Math.max(1, deadlineMs - performance.now()))
    const either = AbortSignal.any([signal, patience])
    const session = await link.ready(either).then(
      () => openSession(nats, link, subject, nextN, signal),
      () => null,
    )
    if (signal.aborted) return
    if (!session) throw new AppError('unavailable', 'The updates cannot be read from NATS.')
    try {
      for (let stored = await session.next(); stored !== null; stored = await session.next()) {
        deadlineMs = performance.now() + GIVE_UP_MS
        if (lastNIn(stored.batch) < nextN) continue
        nextN = Math.max(nextN, endOf(stored.batch) + 1)
        yield stored
      }
    } finally {
      session.close()
    }
    await pause(50, signal)
  }
}

interface Session {
  /** Null: it is broken, or its signal aborted. */
  next(): Promise<StoredBatch | null>
  close(): void
}

/** A consumer on the server, and what it has sent so far. */
function openSession(nats: Nats, link: NatsLink, subject: string, fromN: number, signal: AbortSignal): Session {
  const { loop, links, server, net } = nats
  const { proc } = link
  const queue: StoredBatch[] = []
  let isOver = false
  let isBroken = false
  let wake = (): void => undefined
  let unsubscribe = (): void => undefined
  let lastMs = 0
  /** What arrives at `lastMs`: one read of the connection, as a stored story comes in bursts. */
  let arriving: StoredBatch[] = []
  const end = (): void => {
    isOver = true
    wake()
  }
  /** What the way swallows, the consumer's making too, is missed by its heartbeat: the session ends. */
  const breakOff = (): void => {
    isBroken = true
    loop.at(proc, nats.random.between(10, 8_000), end)
    unsubscribe()
  }
  /** In the order of the stream. */
  const deliver = (stored: StoredBatch | null): void => {
    if (isOver || isBroken || !proc.alive) return unsubscribe()
    if (stored === null || !net.isOpen(links.server.host, proc.host)) return breakOff()
    const atMs = loop.nowMs + net.latencyMs(links.server.host, proc.host)
    if (atMs <= lastMs) return void arriving.push(stored)
    lastMs = atMs
    const burst = [stored]
    arriving = burst
    loop.at(proc, lastMs - loop.nowMs, () => {
      queue.push(...burst)
      wake()
    })
  }
  const isSent = net.send(proc, links.server, () => {
    if (!isOver) unsubscribe = server.consume({ subject, onMessage: deliver }, fromN)
  })
  if (!isSent) breakOff()
  const unwatch = link.watch({ down: end })
  signal.addEventListener('abort', end, { once: true })
  proc.onDeath.add(stop)
  function stop(): void {
    isOver = true
    unsubscribe()
  }
  return {
    async next() {
      while (queue.length === 0 && !isOver) await new Promise<void>((resolve) => (wake = resolve))
      return signal.aborted ? null : (queue.shift() ?? null)
    },
    close() {
      unwatch()
      signal.removeEventListener('abort', end)
      proc.onDeath.delete(stop)
      stop()
      wake()
    },
  }
}
