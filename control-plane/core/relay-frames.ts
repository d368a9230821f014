// Portable: Web APIs only.
//
// Frames as they are sent: made into JSON once, for all clients of a job.
import type { JobRecord, JobState } from '../../shared/job.ts'
import { seqOf } from '../../shared/position.ts'
import { placeUpdate, stateFrameOf, terminalUpdateOf, type Gap } from '../../shared/update.ts'
import type { FrameBatch, SerialFrame } from './relay.ts'

export function updateFrame(update: Readonly<Record<string, unknown>>, attempt: number, n: number): SerialFrame {
  return { kind: 'update', seq: seqOf(attempt, n), json: JSON.stringify(placeUpdate(update, attempt, n)) }
}

/** The store no longer holds `from` to `to`, both included. */
export function gapFrame(from: number, to: number): SerialFrame {
  const gap: Gap = { type: 'gap', from, to }
  return { kind: 'gap', seq: to, json: JSON.stringify(gap) }
}

export function stateFrame(state: JobState): SerialFrame {
  return { kind: 'state', seq: null, json: JSON.stringify(stateFrameOf(state)) }
}

export function terminalFrame(record: JobRecord): SerialFrame {
  const update = terminalUpdateOf(record)
  return { kind: 'terminal', seq: update.seq, json: JSON.stringify(update) }
}

export function frameBatch(frames: readonly SerialFrame[]): FrameBatch {
  let text: string | undefined
  return {
    frames,
    text: () =>
      (text ??= frames.length === 1 ? (frames[0]?.json ?? '') : `[${frames.map(({ json }) => json).join(',')}]`),
  }
}

/** What of a batch lies behind `position`; the batch itself when all of it does. A gap is cut where it begins before. */
export function framesAfter(batch: FrameBatch, position: number): FrameBatch | null {
  const [first] = batch.frames
  if (first && first.kind !== 'gap' && first.seq !== null && first.seq > position) return batch
  const left = batch.frames.filter(({ seq }) => seq === null || seq > position)
  if (left.length === 0) return null
  const cut = left.map((frame) => (frame.kind === 'gap' ? cutGap(frame, position) : frame))
  return frameBatch(cut)
}

function cutGap(frame: SerialFrame, position: number): SerialFrame {
  const { from, to } = JSON.parse(frame.json) as Gap
  return from > position ? frame : gapFrame(position + 1, to)
}
