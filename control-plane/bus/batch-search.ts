// Where a cursor stands in the stream: the stream sequence of the message that holds n = `fromN` of one subject. n grows
// with the stream sequence, so a search with guesses in proportion finds it in three or four direct gets, where reading
// from the start would take a million messages.
import type { JetStreamManager } from '@nats-io/jetstream'
import { UPDATES_STREAM } from '../../shared/subjects.ts'
import { endOf, parseBatch } from './stored-batch.ts'

interface Place {
  readonly streamSeq: number
  /** First and last n that the message holds; a later part of a split update counts as after its n. */
  readonly first: number
  readonly end: number
}

const MAX_STEPS = 24
/** Reading this many messages too many costs less than another look. */
const NEAR = 32

/** A stream sequence to start reading at: at or shortly before the message that holds `fromN`, or behind the last one. */
export async function startSeqOf(jsm: JetStreamManager, subject: string, fromN: number): Promise<number> {
  let low = await placeAt(jsm, { seq: 1, next_by_subj: subject })
  if (!low || fromN <= low.end) return low?.streamSeq ?? 1
  let high = await placeAt(jsm, { last_by_subj: subject })
  if (!high) return low.streamSeq
  if (isWhole(high) && fromN > high.end) return high.streamSeq + 1
  // A split update whose last part is not there yet: its first part lies before it, unless this is it.
  if (!isWhole(high) && fromN >= high.first) return high.streamSeq
  for (let step = 0; step < MAX_STEPS && high.streamSeq - low.streamSeq > NEAR; step += 1) {
    const guess = guessBetween(low, high, fromN, step)
    const found = await placeAt(jsm, { seq: guess, next_by_subj: subject })
    // Evicted meanwhile, or nothing of this subject between the guess and `high`: the half before the guess is left.
    if (!found || found.streamSeq >= high.streamSeq) high = { ...high, streamSeq: guess }
    else if (fromN < found.first) high = found
    else if (fromN <= found.end) return found.streamSeq
    else low = found
  }
  return low.streamSeq
}

/** In proportion first; every third step halves, against a stream whose n are spread unevenly. */
function guessBetween(low: Place, high: Place, fromN: number, step: number): number {
  const share = step % 3 === 2 ? 0.5 : (fromN - low.end) / Math.max(1, high.first - low.end)
  const width = high.streamSeq - low.streamSeq
  return low.streamSeq + Math.min(width - 1, Math.max(1, Math.floor(width * share)))
}

function isWhole(place: Place): boolean {
  return place.end >= place.first
}

type Query = { seq: number; next_by_subj: string } | { last_by_subj: string }

async function placeAt(jsm: JetStreamManager, query: Query): Promise<Place | null> {
  const message = await jsm.direct.getMessage(UPDATES_STREAM, query)
  if (!message) return null
  const batch = parseBatch(message.data)
  // An agent's junk on its own job's subject: counted as before everything, so nothing behind it is missed.
  if (!batch) return { streamSeq: message.seq, first: 0, end: 0 }
  const isContinuation = batch.part !== undefined && batch.part.k > 1
  return { streamSeq: message.seq, first: batch.n + (isContinuation ? 1 : 0), end: endOf(batch) }
}
