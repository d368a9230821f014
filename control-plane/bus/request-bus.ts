// The bus for the life of one request (workerd): a connection may not outlive the request that opened it there, and one
// that two requests share hangs silently. So it dials at the first need and at most once, core messages wait for that
// connection, and close() lets them leave. Most requests need no NATS at all and dial nothing.
//
// What needs a connection that lasts (hints to hear, updates to read) belongs to the relay's Durable Object.
import type { JetStreamManager } from '@nats-io/jetstream'
import type { NatsConnection } from '@nats-io/nats-core'
import { AppError } from '../../shared/errors.ts'
import { hintSubject, runSubject, updateSubject } from '../../shared/subjects.ts'
import type { CourierBus } from '../core/bus-port.ts'
import type { Log } from '../core/ports.ts'
import type { Pace } from '../core/pace.ts'
import type { StreamLedger } from '../core/stream-ledger.ts'
import { dialNats, openManager, type Dial } from './nats-dial.ts'
import { mintAgentJwt, type BusIdentity } from './nats-identity.ts'
import { createRevoker } from './revocation.ts'
import { refuseServer } from './server-version.ts'
import { firstSeq, lastSeq, readResume } from './stored-ends.ts'
import { createStreamObserver } from './stream-observer.ts'
import { ensureStream, seenOf, type StreamLimits } from './updates-stream.ts'

export interface RequestBusOptions {
  readonly urls: readonly string[]
  readonly agentUrls?: readonly string[] | undefined
  readonly identity: BusIdentity
  readonly log: Log
  readonly stream: StreamLimits
  /** Remembers the stream, so that a wiped one is noticed. */
  readonly ledger: StreamLedger
  readonly dial: Dial
  /** How often a connection looks whether the stream is there. */
  readonly streamPace: Pace
}

export interface RequestBus extends CourierBus {
  /** Makes the stream where it is missing, and notes whether it is the one that it was. Throws AppError `unavailable`. */
  tend(): Promise<void>
}

const DEADLINE_MS = 3_000

export function createRequestBus(options: RequestBusOptions): RequestBus {
  const { identity, log } = options
  const outbox = createOutbox(log)
  const observer = createStreamObserver(options.ledger, log)
  let dialled: Promise<NatsConnection> | null = null
  const connection = (): Promise<NatsConnection> => (dialled ??= connectOnce(options))
  const manager = async (): Promise<JetStreamManager> => openManager(await connection())
  const publish = (subject: string, body: string): void =>
    outbox.add(connection().then((connected) => connected.publish(subject, body)))
  const tend = async (): Promise<void> => ensureStream(await manager(), options.stream)
  const ask = async <T>(question: (jsm: JetStreamManager) => Promise<T>): Promise<T> => {
    try {
      return await question(await manager())
    } catch (cause) {
      // The stream may be missing: agents cannot publish until somebody makes it.
      outbox.add(tend())
      throw unavailable(cause)
    }
  }
  return {
    publishRun: (agent, command) => publish(runSubject(agent), JSON.stringify(command)),
    publishHint: (key) => publish(hintSubject(key.tenant, key.job), ''),
    readResume: (agent, key) => ask((jsm) => readResume(jsm, updateSubject(agent, key))),
    firstSeq: (agent, key) => ask((jsm) => firstSeq(jsm, updateSubject(agent, key))),
    lastSeq: (agent, key) => ask((jsm) => lastSeq(jsm, updateSubject(agent, key))),
    status: () =>
      connection().then(
        () => null,
        (error: unknown) => `NATS: ${messageOf(error)}`,
      ),
    mintAgentJwt: (agent, nkey, ttlSeconds) => mintAgentJwt(identity, agent, nkey, ttlSeconds),
    revokeAgent: createRevoker(
      () => dialNats({ ...options, name: 'dray revocation', credentials: identity.systemUser, reconnect: false }),
      options,
    ),
    agentUrls: () => options.agentUrls ?? options.urls,
    tend: () =>
      ask(async (jsm) => {
        await ensureStream(jsm, options.stream)
        observer.look(() => seenOf(jsm))
      }),
    async close() {
      if (dialled && options.streamPace.due(Date.now())) outbox.add(tend())
      await outbox.empty()
      // A dial that failed has told whoever asked over it; there is nothing to leave.
      await dialled?.then(leave).catch(() => undefined)
    },
  }
}

interface Outbox {
  /** What may be lost, but not forgotten by a request that ends. */
  add(work: Promise<void>): void
  empty(): Promise<void>
}

function createOutbox(log: Log): Outbox {
  const leaving = new Set<Promise<void>>()
  return {
    add(work) {
      leaving.add(work.catch((error: unknown) => log.warn('NATS did not take a message', { error: String(error) })))
    },
    async empty() {
      // A message that is on its way may bring another one; each is bounded by the deadline of the dial.
      while (leaving.size > 0) {
        const these = [...leaving]
        leaving.clear()
        await Promise.all(these)
      }
    },
  }
}

async function connectOnce(options: RequestBusOptions): Promise<NatsConnection> {
  const dialling = dialNats({
    ...options,
    name: 'dray request',
    credentials: options.identity.controlPlaneUser,
    reconnect: false,
  })
  const late = Promise.withResolvers<never>()
  const timer = setTimeout(() => late.reject(new Error(`no connection within ${DEADLINE_MS} ms`)), DEADLINE_MS)
  const connected = await Promise.race([dialling, late.promise]).catch((error: unknown) => {
    // One that comes too late serves nobody, and how it fails nobody asks any more: the caller has its error.
    void dialling.then(leave).catch(() => undefined)
    throw error
  })
  clearTimeout(timer)
  const refused = refuseServer(connected)
  if (refused === null) return connected
  await connected.close()
  throw new Error(refused)
}

/** What was published is with the server before the connection ends. */
async function leave(connection: NatsConnection): Promise<void> {
  if (connection.isClosed()) return
  await connection.flush()
  await connection.close()
}

function unavailable(cause: unknown): AppError {
  return new AppError('unavailable', `NATS cannot answer: ${messageOf(cause)}`, { cause })
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}
