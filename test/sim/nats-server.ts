// The stream UPDATES as JetStream keeps it: one sequence for all subjects, the last message of each, and publishes that
// name the last sequence that they expect. It can be wiped, rolled back to an earlier moment, lose its oldest messages or
// its consumers. Messages are handed to consumers in the order of the stream.
import { endOf, firstSeqOf, lastNIn, parseBatch, resumeOf } from '../../control-plane/bus/stored-batch.ts'
import type { StoredAttempts, StoredBatch } from '../../control-plane/core/bus-port.ts'
import type { Resume } from '../../shared/agent-protocol.ts'
import { attemptIn } from '../../shared/subjects.ts'
import type { History, StoredUpdate } from './history.ts'

export interface Consumer {
  readonly subject: string
  /** Called with each message, in order; null when the consumer is gone. */
  readonly onMessage: (stored: StoredBatch | null) => void
}

export type PublishAnswer = { readonly seq: number } | { readonly error: { err_code: number; description: string } }

export interface NatsServer {
  /** Null: nobody answers, because there is no stream. */
  publish(subject: string, body: Uint8Array, expected: number | null): PublishAnswer | null
  lastOf(subject: string): Resume
  firstSeq(subject: string): number | null
  attemptsOf(tenant: string, job: string): StoredAttempts
  lastSeq(subject: string): number
  /** From the message that holds n = `fromN`, or the next one after it. */
  consume(consumer: Consumer, fromN: number): () => void
  /** Everything is gone; there is no stream until `create`. */
  wipe(): void
  create(): void
  /** The last `count` messages were never there. */
  rollBack(count: number): void
  /** The first `count` messages of the whole stream leave it. */
  evict(count: number): void
  loseConsumers(): void
}

const CONFLICT = { err_code: 10_071, description: 'wrong last sequence' }

export function createNatsServer(history: History, nowMs: () => number): NatsServer {
  const subjects = new Map<string, StoredBatch[]>()
  const noted = new Map<StoredBatch, StoredUpdate[]>()
  const consumers = new Set<Consumer>()
  let firstSeq = 1
  let lastSeq = 0
  let exists = true
  const listOf = (subject: string): StoredBatch[] => subjects.get(subject) ?? []
  const keepOnly = (isKept: (stored: StoredBatch) => boolean): void => {
    for (const [subject, list] of subjects) {
      for (const lost of list) if (!isKept(lost)) for (const one of noted.get(lost) ?? []) one.lostMs = nowMs()
      subjects.set(subject, list.filter(isKept))
    }
  }
  const loseConsumers = (): void => {
    const gone = [...consumers]
    consumers.clear()
    for (const consumer of gone) consumer.onMessage(null)
  }
  return {
    publish(subject, body, expected) {
      if (!exists) return null
      const list = listOf(subject)
      if (expected !== null && expected !== (list.at(-1)?.streamSeq ?? 0)) return { error: CONFLICT }
      const batch = parseBatch(body)
      if (!batch) throw new Error(`An agent published junk on ${subject}`)
      lastSeq += 1
      const stored = { streamSeq: lastSeq, batch, sizeBytes: body.length }
      list.push(stored)
      subjects.set(subject, list)
      noted.set(stored, record(history, nowMs(), subject, stored))
      for (const consumer of consumers) if (consumer.subject === subject) consumer.onMessage(stored)
      return { seq: lastSeq }
    },
    lastOf(subject) {
      const last = listOf(subject).at(-1)
      return resumeOf(last?.batch ?? null, last?.streamSeq ?? 0)
    },
    firstSeq(subject) {
      const first = listOf(subject)[0]
      return first ? firstSeqOf(first.batch, first.streamSeq) : null
    },
    attemptsOf(tenant, job) {
      const mine = `.${tenant}.${job}.`
      const names = [...subjects].flatMap(([name, list]) => (list.length > 0 && name.includes(mine) ? [name] : []))
      return {
        attempts: names.flatMap((name) => attemptIn(name) ?? []),
        streamFirstSeq: firstSeq,
        streamLastSeq: lastSeq,
      }
    },
    lastSeq: (subject) => listOf(subject).at(-1)?.streamSeq ?? 0,
    consume(consumer, fromN) {
      consumers.add(consumer)
      for (const stored of listOf(consumer.subject)) if (lastNIn(stored.batch) >= fromN) consumer.onMessage(stored)
      return () => void consumers.delete(consumer)
    },
    wipe() {
      keepOnly(() => false)
      subjects.clear()
      firstSeq = 1
      lastSeq = 0
      exists = false
      loseConsumers()
    },
    create() {
      exists = true
    },
    rollBack(count) {
      lastSeq = Math.max(firstSeq - 1, lastSeq - count)
      keepOnly(({ streamSeq }) => streamSeq <= lastSeq)
      loseConsumers()
    },
    evict(count) {
      const seqs = [...subjects.values()].flat().map(({ streamSeq }) => streamSeq)
      const border = seqs.toSorted((a, b) => a - b)[count - 1] ?? lastSeq
      firstSeq = border + 1
      keepOnly(({ streamSeq }) => streamSeq > border)
    },
    loseConsumers,
  }
}

function record(history: History, ms: number, subject: string, { batch, streamSeq }: StoredBatch): StoredUpdate[] {
  const [, , , job = '', attempt = ''] = subject.split('.')
  const list = history.storedOf(job)
  const place = history.place()
  const noted: StoredUpdate[] = []
  for (const [index, update] of batch.updates.entries()) {
    const text = textOf(update)
    const one = { place, ms, attempt: Number(attempt), n: batch.n + index, session: batch.session, text, lostMs: null }
    list.push(one)
    noted.push(one)
  }
  history.trace('stored', job, attempt, batch.n, endOf(batch), streamSeq, batch.session)
  return noted
}

/** What of an update tells it from any other: a line's text, or the phase of one of the agent's own. */
export function textOf({ content, type, phase, status }: Readonly<Record<string, unknown>>): string {
  return typeof content === 'string' ? content : JSON.stringify([type, phase ?? status ?? ''])
}
