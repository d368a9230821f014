// Portable: Web APIs only.
//
// Frames of one attempt behind a position, until the attempt is through. It promises each n once, in order, and a gap
// where one is missing; nothing that a later attempt's first message fences off.
//
// A message is shown only when no later attempt's message precedes it: where the row does not prove that, attempt-fence.ts
// is asked after the message came.
import type { AttemptRecord } from '../../shared/job.ts'
import { LAST_N, seqOf } from '../../shared/position.ts'
import type { Bus, StoredBatch } from './bus-port.ts'
import type { Clock, JobKey } from './ports.ts'
import { askPatiently, isOver, isThrough } from './attempt-end.ts'
import { findFence, hasLater } from './attempt-fence.ts'
import { pumpBatches } from './batch-pump.ts'
import { createPartAssembler, type PartAssembler } from './part-assembler.ts'
import { gapFrame, updateFrame } from './relay-frames.ts'
import type { RowWatch } from './relay-rows.ts'
import type { SerialFrame } from './relay.ts'
import { createWake, type Wake } from './relay-wake.ts'

export interface ReaderDeps {
  readonly key: JobKey
  readonly rows: RowWatch
  readonly bus: Pick<Bus, 'readBatches' | 'readResume' | 'firstSeq' | 'storedAttempts'>
  readonly clock: Clock
}

export interface ReadChunk {
  readonly frames: readonly SerialFrame[]
  /** All that was stored when the reading began has been handed out; may come with an empty chunk. */
  readonly atEdge: boolean
}

/** A later attempt exists and has stored nothing: its first message is looked for this often. */
const FENCE_LOOK_MS = 100

interface Progress {
  readonly attempt: number
  n: number
  /** As attempt-fence.ts has them. */
  fence: number | null
  clearSeq: number
  /** A message beyond the fence was met. */
  fenced: boolean
  /** So was an update beyond N: a store that was wiped after `finish` is gone on with behind a jump. */
  beyondLast: boolean
  readonly assembler: PartAssembler
}

export async function* readAttempt(
  deps: ReaderDeps,
  { attempt, agent }: AttemptRecord,
  fromN: number,
  signal: AbortSignal,
): AsyncGenerator<ReadChunk, void> {
  const { bus, rows } = deps
  const key = { ...deps.key, attempt }
  const progress: Progress = {
    attempt,
    n: fromN,
    fence: null,
    clearSeq: 0,
    fenced: false,
    beyondLast: false,
    assembler: createPartAssembler(),
  }
  const wake = createWake()
  const unwatch = rows.onRead(wake.fire)
  const pump = pumpBatches(bus, { agent, key, n: fromN + 1 }, wake.fire)
  try {
    const [stored, clearSeq] = await Promise.all([
      askPatiently(() => bus.readResume(agent, key)),
      clearFromStart(deps, attempt),
    ])
    progress.clearSeq = clearSeq
    let edge: number | null = stored.n
    while (!signal.aborted) {
      const frames = await takeFrames(deps, pump.take(), progress, signal)
      if (frames.length > 0) yield { frames, atEdge: false }
      const end = await endOf(deps, progress)
      if (end) return yield* missingFrames(attempt, progress.n, end.updates ?? end.told)
      if (edge !== null && progress.n >= edge) {
        edge = null
        yield { frames: [], atEdge: true }
      }
      await news(deps, progress, wake, signal)
    }
  } finally {
    unwatch()
    pump.close()
  }
}

/** So that what an attempt says after a long silence is judged without the database: most of the stream may have gone by then. */
async function clearFromStart({ bus, key, rows }: ReaderDeps, attempt: number): Promise<number> {
  const record = rows.current()
  if (record === null || isOver(record, attempt)) return 0
  const { streamLastSeq } = await askPatiently(() => bus.storedAttempts(key))
  return rows.isSure(attempt) ? streamLastSeq : 0
}

/** The attempt's row when the attempt is through, else null. */
async function endOf({ bus, key, rows }: ReaderDeps, progress: Progress): Promise<AttemptRecord | null> {
  const record = rows.current()
  const row = record?.attempts.find(({ attempt }) => attempt === progress.attempt)
  if (!record || !row) return null
  return progress.fenced || progress.beyondLast || (await isThrough(bus, key, record, row, progress)) ? row : null
}

/** A message or a row; or, where only a look can tell that a later attempt has begun to speak, a moment. */
async function news({ rows, clock }: ReaderDeps, progress: Progress, wake: Wake, signal: AbortSignal): Promise<void> {
  const looks = progress.fence === null && hasLater(rows.current(), progress.attempt)
  const cancel = looks ? clock.after(FENCE_LOOK_MS, wake.fire) : undefined
  await wake.wait(signal)
  cancel?.()
}

async function takeFrames(
  deps: ReaderDeps,
  batches: readonly StoredBatch[],
  progress: Progress,
  signal: AbortSignal,
): Promise<SerialFrame[]> {
  const { rows } = deps
  const { attempt } = progress
  await lookForFence(deps, batches, progress, signal)
  if (signal.aborted) return []
  const last = rows.current()?.attempts.find((row) => row.attempt === attempt)?.updates ?? LAST_N - 1
  const frames: SerialFrame[] = []
  for (const { streamSeq, batch } of batches) {
    progress.fenced ||= progress.fence !== null && streamSeq >= progress.fence
    if (progress.fenced) break
    for (const [index, update] of (progress.assembler.add(batch) ?? []).entries()) {
      const n = batch.n + index
      progress.beyondLast ||= n > last
      if (n <= progress.n || n > last) continue
      if (n > progress.n + 1) frames.push(gapFrame(seqOf(attempt, progress.n + 1), seqOf(attempt, n - 1)))
      frames.push(updateFrame(update, attempt, n))
      progress.n = n
    }
  }
  return frames
}

/** Asked after the messages came: while there is no fence, all of them precede it. */
async function lookForFence(
  deps: ReaderDeps,
  batches: readonly StoredBatch[],
  progress: Progress,
  signal: AbortSignal,
): Promise<void> {
  if (progress.fence !== null) return
  const { attempt, clearSeq } = progress
  const last = batches.at(-1)
  const isSure = deps.rows.isSure(attempt)
  if (hasLater(deps.rows.current(), attempt) || (last && !isSure)) {
    const found = await findFence(deps, { attempt, clearSeq, hasNews: last !== undefined }, signal)
    progress.fence = found.fence
    progress.clearSeq = found.clearSeq
  } else if (last) progress.clearSeq = last.streamSeq
}

function* missingFrames(attempt: number, n: number, last: number | null): Generator<ReadChunk> {
  if (last === null || n >= last) return
  yield { frames: [gapFrame(seqOf(attempt, n + 1), seqOf(attempt, last))], atEdge: false }
}
