// Portable: Web APIs only.
//
// The port to NATS, the courier: what the core says and hears there. Its adapters are in ../bus.

import type { Resume, RunCommand, UpdateBatch } from '../../shared/agent-protocol.ts'
import type { AttemptKey, StoredAttempt } from '../../shared/subjects.ts'
import type { JobKey } from './ports.ts'

/** One stored message of an attempt's subject, as a reader gets it. */
export interface StoredBatch {
  readonly streamSeq: number
  readonly batch: UpdateBatch
  /** Size of the message: what holding it costs. */
  readonly sizeBytes: number
}

/** What the stream has of a job at one moment. */
export interface StoredAttempts {
  /** Those that have a message, by whatever agents: some of them may be no agent of that attempt. */
  readonly attempts: readonly StoredAttempt[]
  /** Of the whole stream: what stood before its first message has left it. */
  readonly streamFirstSeq: number
  readonly streamLastSeq: number
}

/** NATS, the courier. Methods throw AppError `unavailable` when it cannot be reached within their deadline. */
export interface Bus {
  /** Core publishes: at most once, no answer, never throw; lost while disconnected. */
  publishRun(agent: string, command: RunCommand): void
  publishHint(key: JobKey): void
  /** Calls back at each hint, and once after every reconnect of the bus (hints may have been lost). Returns unsubscribe. */
  onHint(key: JobKey, callback: () => void): () => void
  /** Where the stored updates of an attempt end; reads the last message of its subject. */
  readResume(agent: string, key: AttemptKey): Promise<Resume>
  /**
   * Stream sequence of the attempt's first message: where the attempt before it is cut off. Where the stream lost it, where
   * it stood (1: nobody knows). Null where nothing of the attempt is stored.
   */
  firstSeq(agent: string, key: AttemptKey): Promise<number | null>
  storedAttempts(key: JobKey): Promise<StoredAttempts>
  /** Stream sequence of the last message on the subject, or 0. */
  lastSeq(agent: string, key: AttemptKey): Promise<number>
  /**
   * Messages of one attempt in stream order, from the one that holds n = `fromN` (or the next stored after it), then
   * live without end. Ends (returns) when `signal` aborts; throws AppError `unavailable` when the upstream is lost and
   * could not be taken up again: the caller opens it anew from its position.
   */
  readBatches(agent: string, key: AttemptKey, fromN: number, signal: AbortSignal): AsyncIterable<StoredBatch>
  /** Null when connected, else what is wrong, for /readyz. */
  status(): string | null | Promise<string | null>
  /** A user JWT for an agent's own nkey, valid for `ttlSeconds`. */
  mintAgentJwt(agent: string, nkey: string, ttlSeconds: number): Promise<string>
  /** Ends a deleted agent's access to NATS. Never throws: its key has ended already, and its JWT ends by itself. */
  revokeAgent(nkey: string): Promise<void>
  /** What an agent dials. */
  agentUrls(): readonly string[]
  close(): Promise<void>
}

/** What needs no connection that lasts: all of the bus but the relay's part. */
export type CourierBus = Omit<Bus, 'onHint' | 'readBatches' | 'storedAttempts'>
