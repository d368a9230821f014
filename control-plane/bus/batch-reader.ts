// Messages of one attempt, in stream order, without end. Each session is a consumer of its own on the exact subject; when
// anything is wrong with it (connection, deletion, a hole in its deliveries, a store that was wiped) it is given up and
// the next one begins at the n that is due. That search goes by n and not by stream sequence, so a stream that was made
// anew, whose sequences start again at 1, needs no special case.
//
// nats.js's own ordered consumer goes on by stream sequence: after a wipe it would wait, silently, for a sequence that
// comes in a week.
import { AckPolicy, DeliverPolicy, jetstream, type ConsumerMessages } from '@nats-io/jetstream'
import type { NatsConnection } from '@nats-io/nats-core'
import { backoffMs } from '../../shared/backoff.ts'
import { AppError } from '../../shared/errors.ts'
import type { Link } from '../../shared/link.ts'
import { UPDATES_STREAM } from '../../shared/subjects.ts'
import type { StoredBatch } from '../core/bus-port.ts'
import { startSeqOf } from './batch-search.ts'
import { openManager } from './nats-dial.ts'
import { endOf, lastNIn, parseBatch } from './stored-batch.ts'
import { pause } from '../../shared/pause.ts'

export interface BatchReaderDeps {
  readonly link: Link<NatsConnection>
  /** A message that is no batch. */
  readonly onJunk: (subject: string) => void
}

/** So long a reader tries by itself; then it says so, and its owner decides. */
const GIVE_UP_MS = 5_000
const BACKOFF = { firstMs: 50, maxMs: 500 }
/** What may wait in the client: backpressure holds the rest in the server. Larger than any message. */
const PREFETCH_BYTES = 2 << 20
const HEARTBEAT_MS = 5_000
const PULL_EXPIRES_MS = 30_000
/** The server removes a consumer whose reader is gone without a word. */
const INACTIVE_NANOS = 30_000 * 1_000_000
const TROUBLE = ['heartbeats_missed', 'consumer_not_found', 'consumer_deleted', 'stream_not_found', 'no_responders']

export async function* readBatches(
  deps: BatchReaderDeps,
  subject: string,
  fromN: number,
  signal: AbortSignal,
): AsyncGenerator<StoredBatch> {
  let nextN = fromN
  let failures = 0
  let deadlineMs = performance.now() + GIVE_UP_MS
  while (!signal.aborted) {
    let worked = false
    try {
      const patience = AbortSignal.timeout(Math.max(1, Math.ceil(deadlineMs - performance.now())))
      for await (const stored of readSession(deps, subject, nextN, { signal, patience })) {
        worked = true
        // The search ends near its goal, and a wiped store gets again what its agent remembers.
        if (stored === 'open' || lastNIn(stored.batch) < nextN) continue
        nextN = Math.max(nextN, endOf(stored.batch) + 1)
        yield stored
      }
    } catch (error) {
      if (signal.aborted) return
      if (!worked && performance.now() >= deadlineMs)
        throw new AppError('unavailable', 'The updates cannot be read from NATS.', { cause: error })
    }
    failures = worked ? 0 : failures + 1
    if (worked) deadlineMs = performance.now() + GIVE_UP_MS
    await pause(backoffMs(failures, BACKOFF, Math.random()), signal)
  }
}

/** Yields 'open' once it works. Returns or throws when it is broken or aborted. */
async function* readSession(
  deps: BatchReaderDeps,
  subject: string,
  fromN: number,
  { signal, patience }: { readonly signal: AbortSignal; readonly patience: AbortSignal },
): AsyncGenerator<StoredBatch | 'open'> {
  const connection = await deps.link.ready(AbortSignal.any([signal, patience]))
  const jsm = await openManager(connection)
  const consumer = await jsm.consumers.add(UPDATES_STREAM, {
    ack_policy: AckPolicy.None,
    deliver_policy: DeliverPolicy.StartSequence,
    opt_start_seq: await startSeqOf(jsm, subject, fromN),
    filter_subject: subject,
    inactive_threshold: INACTIVE_NANOS,
    mem_storage: true,
    num_replicas: 1,
  })
  let messages: ConsumerMessages | null = null
  const stop = (): void => messages?.stop()
  const unwatch = deps.link.watch({ down: stop })
  signal.addEventListener('abort', stop, { once: true })
  try {
    messages = await jetstream(connection).consumers.getConsumerFromInfo(consumer).consume({
      max_bytes: PREFETCH_BYTES,
      expires: PULL_EXPIRES_MS,
      idle_heartbeat: HEARTBEAT_MS,
      abort_on_missing_resource: true,
    })
    void stopOnTrouble(messages)
    // What ended while the consumer was being made has called nobody.
    if (signal.aborted || deps.link.current() !== connection) return
    yield 'open'
    yield* messagesInOrder(deps, messages, signal)
  } finally {
    unwatch()
    signal.removeEventListener('abort', stop)
    stop()
    // Best effort: without it the server removes the consumer when it was idle for a while.
    jsm.consumers.delete(UPDATES_STREAM, consumer.name).catch(() => undefined)
  }
}

async function* messagesInOrder(
  deps: BatchReaderDeps,
  messages: ConsumerMessages,
  signal: AbortSignal,
): AsyncGenerator<StoredBatch> {
  let delivered = 0
  for await (const message of messages) {
    if (signal.aborted) return
    delivered += 1
    // The server dropped a delivery, for instance to a slow connection: what follows would have a hole before it.
    if (message.info.deliverySequence !== delivered) return
    const batch = parseBatch(message.data)
    if (batch) yield { streamSeq: message.seq, batch, sizeBytes: message.data.length }
    else deps.onJunk(message.subject)
  }
}

/** consume() itself would wait for ever for a consumer that a restart took away. Ends with the messages. */
async function stopOnTrouble(messages: ConsumerMessages): Promise<void> {
  for await (const { type } of messages.status()) if (TROUBLE.includes(type)) messages.stop()
}
