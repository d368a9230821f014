// Planted bugs of the relay and of the client.
import type { Bus, StoredBatch } from '../../control-plane/core/bus-port.ts'
import { frameBatch } from '../../control-plane/core/relay-frames.ts'
import type { FrameBatch, Relay } from '../../control-plane/core/relay.ts'
import { isTerminalUpdate, type Frame } from '../../shared/update.ts'
import type { Planted } from './planted-bug.ts'

/** What reaches the clients, changed on its way. */
const onFrames = (change: (batch: FrameBatch) => FrameBatch | null) => ({
  relay: (relay: Relay): Relay => ({
    ...relay,
    attach(key, options) {
      const send = (batch: FrameBatch): void => {
        const changed = change(batch)
        if (changed) options.sink.send(changed)
      }
      return relay.attach(key, { ...options, sink: { ...options.sink, send } })
    },
  }),
})

const SEAM_MS = 30

/** What is stored while a reading begins is neither in its replay nor in what follows live. */
async function* loseAtSeam(bus: Bus, ...reading: Parameters<Bus['readBatches']>): AsyncGenerator<StoredBatch> {
  const [agent, key] = reading
  const openedMs = performance.now()
  const lastSeq = await bus.lastSeq(agent, key).catch(() => Number.MAX_SAFE_INTEGER)
  for await (const stored of bus.readBatches(...reading))
    if (stored.streamSeq <= lastSeq || performance.now() - openedMs > SEAM_MS) yield stored
}

async function* withoutLast(frames: AsyncGenerator<Frame, void, void>): AsyncGenerator<Frame, void, void> {
  let previous: Frame | null = null
  for await (const frame of frames) {
    if (previous && !isTerminalUpdate(frame)) yield previous
    previous = frame
  }
  if (previous) yield previous
}

export const plantedInReading: readonly Planted[] = [
  {
    name: 'seam-race',
    breaks: 'a message that is stored between the replay and the live reading is lost',
    plant: () => ({
      bus: (bus) => ({ ...bus, readBatches: (...reading) => loseAtSeam(bus, ...reading) }),
    }),
  },
  {
    name: 'cursor-included',
    breaks: 'a client that comes back gets the update of its cursor again',
    plant: () => ({
      relay: (relay) => ({
        ...relay,
        attach: (key, options) => relay.attach(key, { ...options, after: Math.max(0, options.after - 1) }),
      }),
    }),
  },
  {
    name: 'gap-hidden',
    breaks: 'what a store lost is not said',
    plant: () =>
      onFrames((batch) => {
        const kept = batch.frames.filter(({ kind }) => kind !== 'gap')
        return kept.length === 0 ? null : frameBatch(kept)
      }),
  },
  {
    name: 'duplicates-not-dropped',
    breaks: 'an update that is sent twice is read twice',
    plant: () =>
      onFrames((batch) => frameBatch(batch.frames.flatMap((frame) => (frame.seq === null ? [frame] : [frame, frame])))),
  },
  {
    name: 'fence-ignored',
    breaks: 'what an earlier attempt stores after the next one began is read, too',
    plant: () => ({ bus: (bus) => ({ ...bus, firstSeq: async () => null }) }),
  },
  {
    name: 'last-update-swallowed',
    breaks: 'a client throws away the last update before the end',
    plant: () => ({ frames: withoutLast }),
  },
  {
    name: 'terminal-state-from-container',
    breaks: 'readers are told that every job completed',
    plant: () =>
      onFrames((batch) =>
        frameBatch(
          batch.frames.map((frame) =>
            frame.kind === 'terminal'
              ? { ...frame, json: frame.json.replace(/"status":"\w+"/, '"status":"completed"') }
              : frame,
          ),
        ),
      ),
  },
]
