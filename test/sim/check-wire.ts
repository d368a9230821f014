// Promise 2 where it is hardest to keep: on each single connection, as the relay sends it. Behind the cursor that the
// connection asked for, each update once, in order, and what is missing said by a gap. The client mends nothing here.
import { attemptOf, nOf, seqOf } from '../../shared/position.ts'
import { endSeq, isGap, isStateFrame, isTerminalUpdate, type Frame } from '../../shared/update.ts'
import type { History } from './history.ts'

interface Place {
  seq: number
  isOver: boolean
}

export type OnWire = (connection: object, job: string, after: number, text: string) => void

export function watchWire(history: History): OnWire {
  const places = new WeakMap<object, Place>()
  const framesOf = createParser()
  return (connection, job, after, text) => {
    const place = places.get(connection) ?? { seq: after, isOver: false }
    places.set(connection, place)
    for (const frame of framesOf(text)) {
      if (isStateFrame(frame)) continue
      const fault = faultOf(frame, place)
      if (fault) history.violated(fault.check, `${job}, after ${shown(place.seq)} of ${shown(after)}: ${fault.what}`)
      place.seq = Math.max(place.seq, endSeq(frame) ?? 0)
      place.isOver ||= isTerminalUpdate(frame)
    }
  }
}

/** Most messages go to several connections, one after the other. */
function createParser(): (text: string) => readonly Frame[] {
  let last = ''
  let frames: readonly Frame[] = []
  return (text) => {
    if (text === last) return frames
    const parsed = JSON.parse(text) as Frame | Frame[]
    last = text
    frames = Array.isArray(parsed) ? parsed : [parsed]
    return frames
  }
}

type Fault = { readonly check: 'lost' | 'doubled'; readonly what: string }

function faultOf(frame: Frame, place: Place): Fault | null {
  const to = endSeq(frame) ?? 0
  if (place.isOver) return { check: 'doubled', what: `a frame ${shown(to)} follows the terminal update` }
  if (isGap(frame) && frame.from > to) return { check: 'lost', what: 'an empty gap' }
  if (to <= place.seq) return { check: 'doubled', what: `${shown(to)} comes again` }
  if (isTerminalUpdate(frame)) return null
  const from = isGap(frame) ? frame.from : to
  const isSameAttempt = attemptOf(from) === attemptOf(place.seq)
  const expected = isSameAttempt ? place.seq + 1 : seqOf(attemptOf(from), 1)
  if (from === expected) return null
  return from < expected
    ? { check: 'doubled', what: `${shown(from)} comes again` }
    : { check: 'lost', what: `${shown(from)} comes, ${shown(expected)} was due` }
}

export function shown(seq: number): string {
  return `${attemptOf(seq)}.${nOf(seq)}`
}
