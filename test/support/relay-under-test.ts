// What the relay's contract needs of an adapter: jobs whose rows change when the test says so, agents that publish, and
// clients. The rows may be in memory beside a relay of this process, or in the database of a control plane elsewhere.
import type { Resume } from '../../shared/agent-protocol.ts'
import type { Publisher, PublisherOptions } from '../../runner-agent/publisher.ts'
import { openRelayStage, keyOf } from './relay-stage.ts'
import { attach } from './relay-watcher.ts'
import type { TestNats } from './nats-server.ts'

export interface Watcher {
  readonly frames: readonly Record<string, unknown>[]
  /** Of everything but state frames, in the order of arrival; a gap counts with its end. */
  readonly seqs: readonly number[]
  readonly states: readonly Record<string, unknown>[]
  /** Close code, null while open. */
  readonly closed: number | null
  detach(): void
}

export interface Page {
  readonly updates: readonly Record<string, unknown>[]
  readonly cursor: number
  readonly done: boolean
}

export interface RelayUnderTest {
  readonly nats: TestNats
  /** A job that waits; its last attempt is `attempts`. */
  queuedJob(attempts?: number): Promise<string>
  /** Attempt 1 begins on agent a1, the next on a2. */
  claim(job: string): Promise<void>
  running(job: string): Promise<void>
  /** The attempt is given up although its agent still holds it, and the job waits for the next one. */
  giveUp(job: string): Promise<void>
  /** The agent's `finish`: N updates, which it still holds or not. */
  finish(job: string, options: { readonly updates: number; readonly held?: boolean }): Promise<void>
  /** Its agent is lost, and with it the job. */
  lose(job: string): Promise<void>
  cancelQueued(job: string): Promise<void>
  publisherOf(job: string, attempt?: number, options?: Partial<PublisherOptions>): Promise<Publisher>
  resume(job: string): Promise<Resume>
  attach(job: string, after: number): Watcher
  /** Rejects with `code` as the API has it. */
  history(job: string, after: number, limit: number): Promise<Page>
  /** Consumers on the stream: readers that are open. */
  consumers(): Promise<number>
  /** After each test: nobody is served any more, and nothing went wrong unseen. */
  check(): void
  close(): Promise<void>
}

/** The relay of this process, over rows in memory. */
export async function localRelay(): Promise<RelayUnderTest> {
  const stage = await openRelayStage()
  const { table, relay } = stage
  return {
    nats: stage.nats,
    queuedJob: async () => stage.queuedJob(),
    claim: async (job) => table.claim(job, (await table.readJob(keyOf(job)))?.state.attempt === 1 ? 'a2' : 'a1'),
    running: async (job) => table.phase(job, 'running', 'running'),
    async giveUp(job) {
      table.phase(job, 'running', 'reconnecting', { held: true })
      table.requeue(job, { held: true })
    },
    finish: async (job, options) => table.finish(job, options),
    lose: async (job) => table.end(job, 'error'),
    cancelQueued: async (job) => table.end(job, 'cancelled'),
    publisherOf: (job, attempt, options) => stage.publisherOf(job, attempt, options),
    resume: (job) => stage.bus.readResume('a1', { tenant: 't', job, attempt: 1 }),
    attach: (job, after) => attach(relay, keyOf(job), after),
    async history(job, after, limit) {
      const page = await relay.history(keyOf(job), after, limit, new AbortController().signal)
      return { ...page, updates: page.updates.map((json) => JSON.parse(json) as Record<string, unknown>) }
    },
    consumers: () => stage.consumers(),
    check() {
      if (relay.clientCount() > 0) throw new Error(`The relay still serves ${relay.clientCount()} clients`)
      if (stage.errors.length > 0) throw new Error(`The relay logged errors: ${JSON.stringify(stage.errors)}`)
    },
    close: () => stage.close(),
  }
}
