// The port Bus over NATS. It comes up at once, NATS there or not: `status()` says what is wrong, the methods that need an
// answer throw `unavailable` after a moment, and everything works as soon as the connection does. It keeps the stream
// UPDATES in being. What it promises is written at the port; how updates are read is in batch-reader.ts.
import type { JetStreamManager, StoredMsg } from '@nats-io/jetstream'
import type { NatsConnection } from '@nats-io/nats-core'
import { AppError } from '../../shared/errors.ts'
import { createLink, type Link } from '../../shared/link.ts'
import { hintSubject, runSubject, updateSubject, UPDATES_STREAM } from '../../shared/subjects.ts'
import type { Bus, Log } from '../core/ports.ts'
import type { StreamLedger } from '../core/stream-ledger.ts'
import { readBatches } from './batch-reader.ts'
import { createHints } from './hints.ts'
import { dialNats, openManager, type Dial, type NatsTls } from './nats-dial.ts'
import { mintAgentJwt, type NatsIdentity } from './nats-identity.ts'
import { revokeUser } from './revocation.ts'
import { refuseServer } from './server-version.ts'
import { parseBatch, resumeOf } from './stored-batch.ts'
import { createStreamObserver } from './stream-observer.ts'
import { keepUpdatesStream, type StreamKeeper, type StreamLimits } from './updates-stream.ts'

export interface NatsBusOptions {
  readonly urls: readonly string[]
  readonly identity: NatsIdentity
  readonly log: Log
  readonly stream: StreamLimits
  readonly tls?: NatsTls | undefined
  /** What agents dial, where it differs from what the control plane dials. */
  readonly agentUrls?: readonly string[] | undefined
  /** Remembers the stream, so that a wiped one is noticed. */
  readonly ledger?: StreamLedger | undefined
  /** Another way to connect than TCP. */
  readonly dial?: Dial | undefined
}

/** How long a method waits for a connection or an answer. */
const DEADLINE_MS = 3_000
const LOG_EVERY_MS = 60_000

export function createNatsBus(options: NatsBusOptions): Promise<Bus> {
  const { identity, log } = options
  const dialAs = (name: string, credentials: NatsIdentity['systemUser'], reconnect: boolean): Promise<NatsConnection> =>
    dialNats({ ...options, name, credentials, reconnect })
  const link: Link<NatsConnection> = createLink({
    dial: () => dialAs('dray control plane', identity.controlPlaneUser, true),
    refuse: refuseServer,
    onError: (error) => log.warn('NATS reported an error', { error: String(error) }),
  })
  const observer = options.ledger && createStreamObserver(options.ledger, log)
  const keeper = keepUpdatesStream(() => managerOf(link), options.stream, observer)
  const hints = createHints(link)
  const onJunk = createJunkLog(log)
  const unwatch = link.watch({ up: () => keeper.check() })
  const lastMessage = (subject: string): Promise<StoredMsg | null> =>
    askNats({ link, keeper }, (jsm) => jsm.direct.getMessage(UPDATES_STREAM, { last_by_subj: subject }))
  const firstMessage = (subject: string): Promise<StoredMsg | null> =>
    askNats({ link, keeper }, (jsm) => jsm.direct.getMessage(UPDATES_STREAM, { seq: 1, next_by_subj: subject }))

  return Promise.resolve({
    publishRun: (agent, command) => publish(link, runSubject(agent), JSON.stringify(command)),
    publishHint: (key) => publish(link, hintSubject(key.tenant, key.job), ''),
    onHint: (key, callback) => hints.on(hintSubject(key.tenant, key.job), callback),
    async readResume(agent, key) {
      const message = await lastMessage(updateSubject(agent, key))
      return resumeOf(message && parseBatch(message.data), message?.seq ?? 0)
    },
    async firstSeq(agent, key) {
      const message = await firstMessage(updateSubject(agent, key))
      if (!message) return null
      // Its true first message has left the stream, and with it everything before it: no message may count as earlier.
      const batch = parseBatch(message.data)
      return batch && batch.n > 1 ? 1 : message.seq
    },
    async lastSeq(agent, key) {
      return (await lastMessage(updateSubject(agent, key)))?.seq ?? 0
    },
    readBatches: (agent, key, fromN, signal) => readBatches({ link, onJunk }, updateSubject(agent, key), fromN, signal),
    status: () => prefixed(link.problem() ?? keeper.problem()),
    mintAgentJwt: (agent, nkey, ttlSeconds) => mintAgentJwt(identity, agent, nkey, ttlSeconds),
    revokeAgent: createRevoker(() => dialAs('dray revocation', identity.systemUser, false), options),
    agentUrls: () => options.agentUrls ?? options.urls,
    async close() {
      unwatch()
      keeper.close()
      hints.close()
      await link.close()
    },
  })
}

function prefixed(problem: string | null): string | null {
  return problem === null ? null : `NATS: ${problem}`
}

/** At most once, never throws: lost while the link is down, and whoever needs it asks again by other ways. */
function publish(link: Link<NatsConnection>, subject: string, body: string): void {
  try {
    link.current()?.publish(subject, body)
  } catch {
    // Closed in this moment: lost like every core message of an outage.
  }
}

async function managerOf(link: Link<NatsConnection>): Promise<JetStreamManager | null> {
  const connection = link.current()
  return connection && (await openManager(connection))
}

interface Question {
  readonly link: Link<NatsConnection>
  readonly keeper: StreamKeeper
}

async function askNats<T>({ link, keeper }: Question, question: (jsm: JetStreamManager) => Promise<T>): Promise<T> {
  try {
    return await question(await openManager(await link.ready(AbortSignal.timeout(DEADLINE_MS))))
  } catch (cause) {
    // The stream may be missing: its keeper should look now and not in a few seconds.
    keeper.check()
    throw new AppError('unavailable', `NATS cannot answer: ${link.problem() ?? String(cause)}`, { cause })
  }
}

/** One after the other: each is a read, a change and a write of the same account. */
function createRevoker(dial: () => Promise<NatsConnection>, options: NatsBusOptions): (nkey: string) => Promise<void> {
  let last: Promise<void> = Promise.resolve()
  const revoke = async (nkey: string): Promise<void> => {
    try {
      const system = await dial()
      try {
        await revokeUser(system, options.identity, nkey)
      } finally {
        await system.close()
      }
    } catch (error) {
      options.log.warn('An agent could not be revoked on NATS: its access ends with its JWT', {
        nkey,
        error: String(error),
      })
    }
  }
  return (nkey) => (last = last.then(() => revoke(nkey)))
}

/** Junk is counted and told at most once a minute: an agent that floods must not fill the log as well. */
function createJunkLog(log: Log): (subject: string) => void {
  let count = 0
  let toldMs = Number.NEGATIVE_INFINITY
  return (subject) => {
    count += 1
    if (performance.now() - toldMs < LOG_EVERY_MS) return
    toldMs = performance.now()
    log.warn('Messages on NATS are no batches of updates: dropped', { count, subject })
    count = 0
  }
}
