// The port Bus over NATS. It comes up at once, NATS there or not: `status()` says what is wrong, the methods that need an
// answer throw `unavailable` after a moment, and everything works as soon as the connection does. It keeps the stream
// UPDATES in being. What it promises is written at the port; how updates are read is in batch-reader.ts.
import type { JetStreamManager } from '@nats-io/jetstream'
import type { NatsConnection } from '@nats-io/nats-core'
import { AppError } from '../../shared/errors.ts'
import { createLink, type Link } from '../../shared/link.ts'
import { hintSubject, runSubject, updateSubject } from '../../shared/subjects.ts'
import type { Bus } from '../core/bus-port.ts'
import type { Log } from '../core/ports.ts'
import type { StreamLedger } from '../core/stream-ledger.ts'
import { readBatches } from './batch-reader.ts'
import { createHints } from './hints.ts'
import { dialNats, openManager, type Dial, type NatsTls } from './nats-dial.ts'
import { mintAgentJwt, type BusIdentity } from './nats-identity.ts'
import { createRevoker } from './revocation.ts'
import { refuseServer } from './server-version.ts'
import { firstSeq, lastSeq, readResume, storedAttempts } from './stored-ends.ts'
import { createStreamObserver } from './stream-observer.ts'
import { keepUpdatesStream, type StreamKeeper, type StreamLimits } from './updates-stream.ts'

export interface NatsBusOptions {
  readonly urls: readonly string[]
  readonly identity: BusIdentity
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
  const dialAs = (name: string, credentials: BusIdentity['systemUser'], reconnect: boolean): Promise<NatsConnection> =>
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
  const ask = <T>(question: (jsm: JetStreamManager) => Promise<T>): Promise<T> => askNats({ link, keeper }, question)

  return Promise.resolve({
    publishRun: (agent, command) => publish(link, runSubject(agent), JSON.stringify(command)),
    publishHint: (key) => publish(link, hintSubject(key.tenant, key.job), ''),
    onHint: (key, callback) => hints.on(hintSubject(key.tenant, key.job), callback),
    readResume: (agent, key) => ask((jsm) => readResume(jsm, updateSubject(agent, key))),
    firstSeq: (agent, key) => ask((jsm) => firstSeq(jsm, updateSubject(agent, key))),
    storedAttempts: (key) => ask((jsm) => storedAttempts(jsm, key)),
    lastSeq: (agent, key) => ask((jsm) => lastSeq(jsm, updateSubject(agent, key))),
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
