// Everything that a test of the relay needs: a real nats-server, a bus, two agents, rows in memory, and a relay.

import { jetstreamManager } from '@nats-io/jetstream'
import { dialNats } from '../../control-plane/bus/nats-dial.ts'
import type { Bus } from '../../control-plane/core/bus-port.ts'
import type { Clock, JobKey } from '../../control-plane/core/ports.ts'
import { createRelay } from '../../control-plane/core/relay-hub.ts'
import type { Relay } from '../../control-plane/core/relay.ts'
import type { Publisher, PublisherOptions } from '../../runner-agent/publisher.ts'
import { seqOf } from '../../shared/position.ts'
import { UPDATES_STREAM } from '../../shared/subjects.ts'
import { jobTable, type JobTable } from './job-table.ts'
import { joinAgent, logUpdate, openBus, type TestAgent } from './nats-party.ts'
import { startNats, type TestNats } from './nats-server.ts'

export interface RelayStage {
  readonly nats: TestNats
  readonly bus: Bus
  readonly table: JobTable
  readonly relay: Relay
  /** What the relay logged as an error. */
  readonly errors: readonly unknown[]
  /** A job that waits. */
  queuedJob(): string
  /** A job whose attempt 1 is agent a1's. */
  claimedJob(): string
  /** Of agent a1 for attempt 1, of a2 for later ones. */
  publisherOf(job: string, attempt?: number, options?: Partial<PublisherOptions>): Promise<Publisher>
  /** Consumers on the stream: readers that are open. */
  consumers(): Promise<number>
  close(): Promise<void>
}

export const clock: Clock = {
  nowMs: Date.now,
  after(ms, callback) {
    const timer = setTimeout(callback, ms)
    return () => clearTimeout(timer)
  },
}

export async function openRelayStage(): Promise<RelayStage> {
  const nats = await startNats()
  const bus = await openBus(nats)
  const agents: TestAgent[] = [await joinAgent(nats, bus, { id: 'a1' }), await joinAgent(nats, bus, { id: 'a2' })]
  const table = jobTable(bus)
  const errors: unknown[] = []
  const log = { info: () => undefined, warn: () => undefined, error: (...what: unknown[]) => void errors.push(what) }
  const relay = createRelay({ store: table, bus, clock, log })
  let jobs = 0
  const queuedJob = (): string => {
    const job = `job${(jobs += 1)}`
    table.queue(job)
    return job
  }
  return {
    nats,
    bus,
    table,
    relay,
    errors,
    queuedJob,
    claimedJob() {
      const job = queuedJob()
      table.claim(job, 'a1')
      return job
    },
    publisherOf(job, attempt = 1, options = {}) {
      const agent = attempt === 1 ? agents[0] : agents[1]
      if (!agent) throw new Error('The stage has two agents')
      return agent.publisher({ tenant: 't', job, attempt }, options)
    },
    async consumers() {
      const raw = await dialNats({ urls: [nats.url], credentials: nats.identity.controlPlaneUser, name: 'test' })
      const { state } = await (await jetstreamManager(raw)).streams.info(UPDATES_STREAM)
      await raw.close()
      return state.consumer_count
    },
    async close() {
      await relay.close()
      for (const { connection } of agents) await connection.close()
      await bus.close()
      await nats[Symbol.asyncDispose]()
    },
  }
}

export const keyOf = (job: string): JobKey => ({ tenant: 't', job })

/** Publishes the lines `from` to `to`, `each` in a message, and waits until they are stored. */
export async function publishLines(publisher: Publisher, from: number, to: number, each = 1): Promise<void> {
  const never = new AbortController().signal
  for (let line = from; line <= to; line += each) {
    const updates = Array.from({ length: Math.min(each, to - line + 1) }, (_, at) => logUpdate(`line ${line + at}`))
    publisher.offer(updates, { stdout: line, stderr: 0 })
    await publisher.flush(never)
  }
}

/** The seqs of the updates `from` to `to`. */
export function seqs(from: number, to: number, attempt = 1): number[] {
  return Array.from({ length: to - from + 1 }, (_, at) => seqOf(attempt, from + at))
}
