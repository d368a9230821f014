// A client as a process: it submits jobs with idempotency keys until it hears of them, cancels some, and reads the updates
// of others through the real client library, leaving and coming back at cursors of its choice. What it reads is recorded.
import { followUpdates } from '../../shared/client/updates.ts'
import type { JobSpec } from '../../shared/job-spec.ts'
import { AppError } from '../../shared/errors.ts'
import { endSeq, isGap, isStateFrame, isTerminalUpdate, type Frame } from '../../shared/update.ts'
import type { ControlPlane } from './control-plane.ts'
import type { History, ReadFrame, Reading } from './history.ts'
import type { Geography } from './geography.ts'
import type { Hooks } from './hooks.ts'
import type { Loop, Proc } from './loop.ts'
import { textOf } from './nats-server.ts'
import type { Network } from './network.ts'
import type { Prng } from './prng.ts'
import { before } from './sim-bus.ts'
import { createSimWebSocket, type SocketWorld } from './sim-web-socket.ts'

export interface ClientWorld extends SocketWorld {
  readonly loop: Loop
  readonly net: Network
  readonly random: Prng
  readonly history: History
  readonly hooks: Hooks
  readonly planes: readonly ControlPlane[]
  readonly choose: Geography['choose']
  readonly onFrame?: ((client: Proc, job: string, frame: ReadFrame) => void) | undefined
}

export const TENANT = 'default'
const ANSWER_MS = 4_000
const AGAIN_MS = 300

/** Asks one control plane after the other until there is an answer that is no `unavailable`. */
export async function ask<T>(world: ClientWorld, question: (plane: ControlPlane) => Promise<T>): Promise<T> {
  for (;;) {
    const plane = world.choose(world.loop.current.host, world.planes)
    try {
      return await before(
        AbortSignal.timeout(ANSWER_MS),
        world.net.call(plane.proc, async () => {
          plane.core.tick()
          if (world.admit) await world.admit(plane)
          return question(plane)
        }),
      )
    } catch (error) {
      if (error instanceof AppError && error.code !== 'unavailable') throw error
    }
    await new Promise<void>((resolve) => setTimeout(resolve, AGAIN_MS))
  }
}

export async function submitJob(world: ClientWorld, id: string, spec: JobSpec): Promise<void> {
  const options = { tenant: TENANT, idempotencyKey: id, bodyHash: id }
  const { job } = await ask(world, ({ core }) => core.submit(spec, options))
  world.history.job(job.id).accepted = true
  world.history.trace('accepted', job.id)
}

/** False where there was nothing to cancel. */
export async function cancelJob(world: ClientWorld, job: string, graceSeconds: number): Promise<boolean> {
  try {
    await ask(world, ({ core }) => core.cancelJob({ tenant: TENANT, job }, graceSeconds))
    world.history.trace('cancelled', job)
    return true
  } catch (error) {
    // Not there yet, or over already.
    world.history.trace('cancel-no', job, error instanceof AppError ? error.code : 'internal')
    return false
  }
}

/** Reads a job to its end, in one or more readings. */
export async function watchJob(world: ClientWorld, proc: Proc, job: string, leaves: number): Promise<void> {
  const { random } = world
  const cursors = [0]
  for (let left = leaves; ; left -= 1) {
    const after = left === leaves ? 0 : random.pick(cursors)
    const reading = await readFrom(world, proc, job, after, left > 0 ? random.between(1, 12) : Infinity)
    if (reading.error !== null) return
    for (const frame of reading.frames) if (frame.kind !== 'terminal') cursors.push(frame.seq)
    if (reading.isWhole && left <= 0) return
    await new Promise<void>((resolve) => setTimeout(resolve, random.between(1, 2_000)))
  }
}

async function readFrom(world: ClientWorld, proc: Proc, job: string, after: number, most: number): Promise<Reading> {
  const { history, hooks, random } = world
  const reading: Reading = { client: proc.name, job, after, frames: [], isWhole: false, error: null }
  history.readings.push(reading)
  const frames = followUpdates({
    streamUrl: `ws://control-plane/v1/jobs/${job}/stream`,
    after,
    WebSocket: createSimWebSocket(world, proc),
    idleMs: random.between(8_000, 12_000),
  })
  try {
    for await (const frame of hooks.frames(frames)) {
      if (isStateFrame(frame)) continue
      const read = readFrameOf(frame)
      reading.frames.push(read)
      world.onFrame?.(proc, job, read)
      history.trace('frame', proc.name, job, read.kind, read.seq)
      if (read.kind === 'terminal') reading.isWhole = true
      else if (reading.frames.length >= most) break
    }
  } catch (error) {
    reading.error = String(error)
  }
  return reading
}

function readFrameOf(frame: Frame): ReadFrame {
  const seq = endSeq(frame) ?? 0
  if (isGap(frame)) return { kind: 'gap', from: frame.from, seq, text: '' }
  if (isTerminalUpdate(frame)) return { kind: 'terminal', from: seq, seq, text: JSON.stringify(frame) }
  return { kind: 'update', from: seq, seq, text: textOf(frame) }
}
