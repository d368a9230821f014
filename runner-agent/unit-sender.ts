// Sends one unit until it is stored. A message without an answer is sent again as it is, with the same expectation: the
// server then stores it, or says by a conflict that something stands in its place already. What stands there is asked
// and judged (publish-verdict.ts); nothing is ever guessed.
import type { Resume, UpdateBatch } from '../shared/agent-protocol.ts'
import { backoffMs } from '../shared/backoff.ts'
import { pause } from '../shared/pause.ts'
import type { AgentConnection } from './nats-connection.ts'
import type { PublishUnit } from './publish-unit.ts'
import { judgeConflict } from './publish-verdict.ts'

export type PublisherStop =
  /** A newer process of this agent writes. */
  | { readonly kind: 'superseded' }
  /** The attempt does not count any more. */
  | { readonly kind: 'fenced' }
  /** The process before this one had stored more than the grant said: begin again behind `resume`. */
  | { readonly kind: 'rewind'; readonly resume: Resume }

export interface SenderOptions {
  readonly connection: Pick<AgentConnection, 'request'>
  readonly subject: string
  readonly session: string
  readonly resume: Resume
  readonly readResume: (signal: AbortSignal) => Promise<Resume | 'fenced'>
  readonly onTrouble?: ((what: string) => void) | undefined
  readonly signal: AbortSignal
}

export interface UnitSender {
  /** Null: stored, or the signal aborted. */
  send(unit: PublishUnit): Promise<PublisherStop | null>
}

/** Acknowledged units that are kept for a store that loses them after all (wiped, restored). */
const REMEMBERED_BYTES = 1 << 20
const BACKOFF = { firstMs: 20, maxMs: 2_000 }
/** "wrong last sequence", the second since 2.12 for another of its texts. */
const CONFLICTS = [10_071, 10_164]

export function createUnitSender(options: SenderOptions): UnitSender {
  const { signal } = options
  let subjectSeq = options.resume.subject_seq
  let stored = false
  /** Where the attempt's first message was stored, if it was by us. */
  let firstSeq: number | undefined
  const remembered = createMemory()

  /** All messages of a unit, in order; false at a conflict. */
  const tryUnit = async (unit: PublishUnit): Promise<boolean> => {
    for (const message of unit.messages) {
      const isFirst = subjectSeq === 0
      const seq = await store(options, isFirst ? withFirstSeq(message, firstSeq) : message, subjectSeq)
      if (seq === null) return false
      if (isFirst) firstSeq ??= seq
      subjectSeq = seq
      stored = true
    }
    remembered.add(unit, subjectSeq)
    return true
  }

  return {
    async send(unit) {
      let pending = [unit]
      while (pending.length > 0 && !signal.aborted) {
        const [next] = pending
        if (!next || (await tryUnit(next))) {
          pending = pending.slice(1)
          continue
        }
        const resume = await askResume(options)
        if (resume === null) return null
        if (resume === 'fenced') return { kind: 'fenced' }
        const verdict = judgeConflict(resume, { session: options.session, subjectSeq, stored, unitEnd: next.after.n })
        if (verdict === 'superseded') return { kind: 'superseded' }
        if (verdict === 'rewind') return { kind: 'rewind', resume }
        if (verdict === 'lost') pending = [...remembered.takeAfter(resume.subject_seq), ...pending]
        // The answer to our first message was lost.
        if (verdict === 'stored' && subjectSeq === 0) firstSeq ??= resume.subject_seq
        subjectSeq = resume.subject_seq
        if (verdict !== 'stored') continue
        stored = true
        remembered.add(next, subjectSeq)
        pending = pending.slice(1)
      }
      return null
    },
  }
}

/** Nothing is stored of the attempt, and something was: its fence stands where its first message stood. */
function withFirstSeq(message: Uint8Array, firstSeq: number | undefined): Uint8Array {
  if (firstSeq === undefined) return message
  const batch = JSON.parse(new TextDecoder().decode(message)) as UpdateBatch
  return new TextEncoder().encode(JSON.stringify({ ...batch, first_seq: firstSeq }))
}

/** The sequence that the message got; null for a conflict, and when the signal aborts. */
async function store(options: SenderOptions, message: Uint8Array, expected: number): Promise<number | null> {
  const head = { 'Nats-Expected-Last-Subject-Sequence': String(expected) }
  for (let tries = 0; !options.signal.aborted; tries += 1) {
    try {
      const answer = parseAnswer(await options.connection.request(options.subject, message, head, options.signal))
      if (typeof answer === 'number') return answer
      if (CONFLICTS.includes(answer.code)) return null
      options.onTrouble?.(`NATS does not store updates: ${answer.text}`)
    } catch (error) {
      if (tries === 10) options.onTrouble?.(`NATS does not answer: ${String(error)}`)
    }
    // The first repetition is for a connection that broke: the request itself waits for the next one.
    if (tries > 0) await pause(backoffMs(tries - 1, BACKOFF, Math.random()), options.signal)
  }
  return null
}

async function askResume(options: SenderOptions): Promise<Resume | 'fenced' | null> {
  for (let tries = 0; !options.signal.aborted; tries += 1) {
    try {
      return await options.readResume(options.signal)
    } catch (error) {
      if (tries === 10) options.onTrouble?.(`The control plane does not say what is stored: ${String(error)}`)
    }
    await pause(backoffMs(tries, BACKOFF, Math.random()), options.signal)
  }
  return null
}

/** JetStream's answer: the sequence, or its error. */
function parseAnswer(text: string): number | { code: number; text: string } {
  const answer = JSON.parse(text) as { seq?: unknown; error?: { err_code?: number; description?: string } }
  if (answer.error) return { code: answer.error.err_code ?? 0, text: answer.error.description ?? 'an error' }
  if (typeof answer.seq === 'number' && answer.seq > 0) return answer.seq
  return { code: 0, text: 'an answer without a sequence' }
}

interface Memory {
  add(unit: PublishUnit, seq: number): void
  /** Removes and gives the units that were stored behind `seq`, in order. */
  takeAfter(seq: number): PublishUnit[]
}

function createMemory(): Memory {
  let kept: { unit: PublishUnit; seq: number }[] = []
  let sizeBytes = 0
  return {
    add(unit, seq) {
      kept.push({ unit, seq })
      sizeBytes += unit.sizeBytes
      while (kept.length > 0 && sizeBytes > REMEMBERED_BYTES) sizeBytes -= kept.shift()?.unit.sizeBytes ?? 0
    },
    takeAfter(seq) {
      const lost = kept.filter((entry) => entry.seq > seq)
      kept = kept.filter((entry) => entry.seq <= seq)
      sizeBytes = kept.reduce((sum, { unit }) => sum + unit.sizeBytes, 0)
      return lost.map(({ unit }) => unit)
    },
  }
}
