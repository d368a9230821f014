// A joined agent at work: the heartbeat, the commands from NATS, the jobs it holds, and the watch over leases, until it
// is drained, closed or superseded. It owns every timer and connection made here and lets go of all of them at the end.
import { sentenceOf, type AgentLog } from './agent-log.ts'
import { createHeartbeat, type Heartbeat } from './beat.ts'
import type { Machine } from './capacity.ts'
import type { AgentConfig } from './config.ts'
import { containerPolicy } from './container-policy.ts'
import type { ControlPlane } from './control-plane-client.ts'
import type { Engine } from './engine/engine-client.ts'
import { retryEngine } from './engine-retry.ts'
import { findContainers } from './found-containers.ts'
import { createHeldJobs, type HeldJobs } from './held-jobs.ts'
import type { JobDeps } from './job-context.ts'
import { startJobRun } from './job-run.ts'
import { watchMachine, type MachineWatch } from './machine-watch.ts'
import type { AgentConnection, AgentConnectionOptions } from './nats-connection.ts'
import { createPublisher } from './publisher.ts'
import { createSemaphore } from './semaphore.ts'
import type { Membership } from './state-folder.ts'

export interface AgentParts {
  readonly config: AgentConfig
  readonly log: AgentLog
  readonly engine: Engine
  readonly controlPlane: ControlPlane
  readonly machine: Machine
  readonly session: string
  readonly seed: string
  readonly membership: Membership
  /** Joins again after the key was refused; rejects where that is not possible. */
  readonly rejoin: () => Promise<void>
  readonly saveJwt: (jwt: string) => Promise<void>
  readonly surroundings: AgentSurroundings
}

/** What lies outside of this process and its calls: real in main.ts, simulated in test/sim. */
export interface AgentSurroundings {
  readonly connect: (options: AgentConnectionOptions) => AgentConnection
  readonly readMachine: (signal: AbortSignal) => Promise<Machine>
  /** Since the machine's boot, suspends included. */
  readonly bootSeconds: () => number
  /** Containers that are created and started at the same time. */
  readonly startsAtOnce: number
}

export type LoopEnd = 'stopped' | 'superseded' | 'failed'

export interface AgentLoop {
  /** Never rejects. */
  readonly done: Promise<LoopEnd>
  /** No new work; waits for the jobs, at most the configured grace. */
  drain(): void
  /** Lets go at once. */
  close(): void
}

const RENEWAL_CHECK_MS = 1_000
const LEAVE_TIMEOUT_MS = 2_000
const STRAYS_EVERY_MS = 30_000

/** The parts that a loop owns and ends. */
interface Running {
  readonly life: AbortController
  readonly held: HeldJobs
  readonly heartbeat: Heartbeat
  readonly connection: AgentConnection
}

export async function startAgentLoop(parts: AgentParts): Promise<AgentLoop> {
  const { log, engine, membership, surroundings } = parts
  const life = new AbortController()
  const found = await retryEngine(() => findContainers(engine, membership.agent, life.signal), life.signal)
  const machine = watchMachine(parts.machine, () => surroundings.readMachine(life.signal), {
    log,
    signal: life.signal,
  })
  const welcomed = Promise.withResolvers<void>()
  const connection = surroundings.connect({
    agent: membership.agent,
    urls: membership.nats.urls,
    seed: parts.seed,
    jwt: membership.nats.jwt,
    tls: membership.nats.tls,
    onRun: (command) => held.command(command),
    // Its answer says what a lost command said.
    onUp: () => heartbeat.poke(),
    onError: (error) => log.warn('NATS reports an error.', { error: sentenceOf(error) }),
  })
  const held = createHeldJobs({
    start: (start) => startJobRun(deps, start),
    bootSeconds: surroundings.bootSeconds,
    poke: () => heartbeat.poke(),
  })
  const heartbeat = createBeat(parts, { held, connection, machine, welcome: welcomed.resolve })
  const deps = jobDeps(parts, { connection, machine, heartbeat, welcomed: welcomed.promise })
  // Before the first beat, which must list them: what is not listed counts as gone.
  for (const container of found) held.adopt({ key: container.key, found: container })
  adoptStrays(parts, held, life.signal)
  return supervise(parts, { life, held, heartbeat, connection })
}

function createBeat(
  parts: AgentParts,
  wired: { held: HeldJobs; connection: AgentConnection; machine: MachineWatch; welcome: () => void },
): Heartbeat {
  const { log } = parts
  let askedAt = 0
  return createHeartbeat({
    controlPlane: parts.controlPlane,
    bootId: parts.config.bootId,
    held() {
      askedAt = parts.surroundings.bootSeconds()
      return wired.held.held()
    },
    news: () => ({ ...wired.machine.news(), ...(wired.held.accepting ? {} : { draining: true }) }),
    onAnswer(answer, listed) {
      wired.machine.told()
      wired.welcome()
      if (answer.nats_jwt !== undefined) {
        wired.connection.setJwt(answer.nats_jwt)
        parts
          .saveJwt(answer.nats_jwt)
          .catch((error: unknown) => log.warn('The state folder cannot be written.', { error: sentenceOf(error) }))
      }
      wired.held.apply(answer, listed, askedAt)
    },
    async onUnknown() {
      try {
        await parts.rejoin()
      } catch (error) {
        log.error('The control plane does not know this agent.', { error: sentenceOf(error) })
      }
    },
    log,
  })
}

function jobDeps(
  parts: AgentParts,
  wired: { connection: AgentConnection; machine: MachineWatch; heartbeat: Heartbeat; welcomed: Promise<void> },
): JobDeps {
  const { config, log, session, membership } = parts
  return {
    agentId: membership.agent,
    session,
    bootId: config.bootId,
    engine: parts.engine,
    controlPlane: parts.controlPlane,
    policy: containerPolicy(config, parts.machine),
    starts: createSemaphore(parts.surroundings.startsAtOnce),
    openPublisher: (request) =>
      createPublisher({
        ...request,
        connection: wired.connection,
        agent: membership.agent,
        session,
        onTrouble: (what) => log.warn(what, { ...request.key }),
      }),
    welcomed: wired.welcomed,
    beat: () => wired.heartbeat.beat,
    poke: () => wired.heartbeat.poke(),
    onPulled: () => wired.machine.refresh(),
    log,
  }
}

/**
 * A container of ours that nobody holds: made by a process before this one after we had looked (its call was on its way, or
 * it was another copy of this agent). What is held, or ended here, is left to its run.
 */
function adoptStrays({ engine, membership, log }: AgentParts, held: HeldJobs, signal: AbortSignal): void {
  const look = async (): Promise<void> => {
    try {
      const found = await findContainers(engine, membership.agent, signal)
      if (held.accepting) for (const container of found) held.adopt({ key: container.key, found: container })
    } catch (error) {
      // The engine is away: the next look comes.
      if (!signal.aborted) log.info('Containers could not be listed.', { error: sentenceOf(error) })
    }
  }
  const timer = setInterval(() => void look(), STRAYS_EVERY_MS)
  signal.addEventListener('abort', () => clearInterval(timer), { once: true })
}

function supervise(parts: AgentParts, running: Running): AgentLoop {
  const { held, heartbeat, life } = running
  const hurry = new AbortController()
  const beating = new AbortController()
  let draining = false
  const timer = setInterval(() => held.checkRenewals(), RENEWAL_CHECK_MS)
  const beats = heartbeat.run(beating.signal).catch((error: unknown) => {
    parts.log.error('The heartbeat failed.', {
      error: error instanceof Error ? (error.stack ?? error.message) : String(error),
    })
    return 'failed' as const
  })
  const drain = async (): Promise<void> => {
    if (draining) return
    draining = true
    held.refuseNew()
    heartbeat.poke()
    await held.idle(graceSignal(parts.config.drainMs, hurry.signal))
    beating.abort()
  }
  const close = (): void => {
    hurry.abort()
    void drain()
  }
  const done = beats.then(async (how) => {
    clearInterval(timer)
    held.refuseNew()
    // Only an agent with nothing to come back to says goodbye: that ends its lease at once.
    if (how === 'stopped' && held.count() === 0) await sayGoodbye(parts)
    await held.detachAll()
    life.abort()
    await running.connection.close()
    return how
  })
  return { done, drain: () => void drain(), close }
}

/** Aborts at the end of the grace, which may be endless, or in a hurry. */
function graceSignal(graceMs: number, hurry: AbortSignal): AbortSignal {
  return Number.isFinite(graceMs) ? AbortSignal.any([hurry, AbortSignal.timeout(graceMs)]) : hurry
}

async function sayGoodbye({ controlPlane, log }: AgentParts): Promise<void> {
  try {
    await controlPlane.leave(AbortSignal.timeout(LEAVE_TIMEOUT_MS))
  } catch (error) {
    log.info('Could not say goodbye; the lease runs out by itself.', { error: sentenceOf(error) })
  }
}
