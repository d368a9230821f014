// One message of the stream, from bytes that an agent wrote. Agents are not trusted: what is no batch is junk, and an n
// that would reach into the next attempt's numbers is junk too.
import { updateBatchSchema, type Resume, type UpdateBatch } from '../../shared/agent-protocol.ts'
import { LAST_N } from '../../shared/position.ts'

export function parseBatch(bytes: Uint8Array): UpdateBatch | null {
  try {
    const parsed = updateBatchSchema.safeParse(JSON.parse(new TextDecoder().decode(bytes)))
    return parsed.success && isPlausible(parsed.data) ? parsed.data : null
  } catch {
    // Not JSON: junk like any other.
    return null
  }
}

/** The n of the last update that is whole once this message is stored. */
export function endOf(batch: UpdateBatch): number {
  if (batch.part) return batch.part.k === batch.part.m ? batch.n : batch.n - 1
  return batch.n + batch.updates.length - 1
}

/** The last n that this message holds or is a part of. */
export function lastNIn(batch: UpdateBatch): number {
  return batch.part ? batch.n : endOf(batch)
}

/**
 * Where an attempt begins in the stream whose first message this is: all that precedes it there came before the attempt.
 * The stream may have lost messages before this one. Its agent then says where they began; else everything came later.
 */
export function firstSeqOf(batch: UpdateBatch | null, streamSeq: number): number {
  if (!batch) return streamSeq
  return Math.min(streamSeq, batch.first_seq ?? (batch.n > 1 ? 1 : streamSeq))
}

/** Where an attempt stands whose last message is this one; null: nothing, or junk, is stored. */
export function resumeOf(batch: UpdateBatch | null, streamSeq: number): Resume {
  if (!batch) return { n: 0, stdout_lines: 0, stderr_lines: 0, subject_seq: streamSeq, session: null }
  const { session, stdout_lines, stderr_lines } = batch
  return { n: endOf(batch), stdout_lines, stderr_lines, subject_seq: streamSeq, session }
}

function isPlausible({ n, updates, part }: UpdateBatch): boolean {
  if (part) return updates.length === 0 && part.k <= part.m && n < LAST_N
  return updates.length > 0 && n + updates.length <= LAST_N
}
