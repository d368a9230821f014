// What the engine process that answers has seen of a container itself. Docker's latest events lie in the memory of its
// process and go with it, so they tell what nothing on its disk does: whether it was there when the container began and
// when it ended, or another one before it, or none. True of a kill as well: that of a restarting engine is an end that it
// saw, of a start that it did not see. Measured on 20.10.24.
//
// Its events also tell of a lack of memory that the container's state conceals: containerd tells the engine of both side
// by side, and if the end comes first, 20.10.24 leaves `OOMKilled` false. With both cores busy 4 of 650 came so, the event
// `oom` 28 to 42 ms after `die`. (26.1.5 was told nothing at all in 1 of 200: then nobody knows.)
import { z } from 'zod'

export interface EngineMemory {
  /** Null: its memory does not reach back so far. */
  readonly sawStart: boolean | null
  readonly sawEnd: boolean
  /** The kernel killed something in it for its memory. */
  readonly sawOom: boolean
}

export const NO_MEMORY: EngineMemory = { sawStart: null, sawEnd: false, sawOom: false }

/** Docker keeps as many (`eventsLimit`); one that holds fewer has forgotten none since its process began. */
const KEPT_EVENTS = 256

const eventSchema = z.object({ Action: z.string(), Actor: z.object({ ID: z.string() }) })

/** All that it knows at that time, by its own clock: once it is past, the answer ends. */
export function eventsPath(systemTime: string): string {
  return `/events?since=0&until=${((Date.parse(systemTime) + 1) / 1000).toFixed(3)}`
}

/** `events` as the engine sends them, one JSON object a line. */
export function memoryOf(events: string, containerId: string): EngineMemory {
  const lines = events.split('\n').filter((line) => line !== '')
  const actions = lines.flatMap((line) => {
    const event = eventSchema.safeParse(JSON.parse(line))
    return event.success && event.data.Actor.ID === containerId ? [event.data.Action] : []
  })
  const sawStart = actions.includes('start') || (lines.length < KEPT_EVENTS ? false : null)
  return { sawStart, sawEnd: actions.includes('die'), sawOom: actions.includes('oom') }
}
