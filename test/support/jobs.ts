// What end-to-end tests do with jobs: run one to its end, and put its output together again from its updates.
import { readFileSync } from 'node:fs'
import type { Client } from '../../shared/client/create-client.ts'
import type { SubmitBody } from '../../shared/job-spec.ts'
import type { JobView } from '../../shared/job.ts'
import { nOf } from '../../shared/position.ts'
import {
  isGap,
  isStateFrame,
  isTerminalUpdate,
  type Frame,
  type Gap,
  type StateFrame,
  type TerminalUpdate,
  type Update,
} from '../../shared/update.ts'

export interface Story {
  readonly job: JobView
  readonly frames: readonly Frame[]
  readonly updates: readonly Update[]
  readonly states: readonly StateFrame[]
  readonly gaps: readonly Gap[]
  readonly terminal: TerminalUpdate
}

/** A RunJobRequest of test/fixtures as a submit body that runs it in the sample workflow image. */
export function fixture(name: string, image: string): SubmitBody {
  const request = JSON.parse(readFileSync(new URL(`../fixtures/${name}.json`, import.meta.url), 'utf8')) as NonNullable<
    SubmitBody['request']
  >
  return { image, request, resources: SMALL }
}

/** Small enough that many run side by side on a two-core machine. */
export const SMALL = { memory: '128m', cpus: 0.5 } as const

export async function runToEnd(client: Client, body: SubmitBody): Promise<Story> {
  const { id } = await client.submit(body)
  return follow(client, id)
}

/** Follows a job from `after` to its end. */
export async function follow(client: Client, id: string, after = 0, onFrame = noop): Promise<Story> {
  const frames: Frame[] = []
  for await (const frame of client.updates(id, { after, states: true })) {
    frames.push(frame)
    onFrame(frame)
  }
  const story = frames.filter((frame) => !isStateFrame(frame))
  const terminal = story.at(-1)
  if (!terminal || !isTerminalUpdate(terminal)) throw new Error(`the stream of ${id} ended without its terminal update`)
  return {
    // It has ended; this asks again where a control plane has just been killed.
    job: await client.wait(id),
    frames,
    updates: story.filter((frame): frame is Update => !isGap(frame) && !isTerminalUpdate(frame)),
    states: frames.filter(isStateFrame),
    gaps: story.filter(isGap),
    terminal,
  }
}

const noop: (frame: Frame) => void = () => undefined

/** Throws unless n counts 1, 2, 3, … within each attempt: no hole, no repetition, in order. */
export function assertContiguous(updates: readonly Update[]): void {
  let attempt = 0
  let n = 0
  for (const update of updates) {
    if (update.attempt !== attempt) {
      if (update.attempt < attempt) throw new Error(`attempt ${update.attempt} after attempt ${attempt}`)
      attempt = update.attempt
      n = 0
    }
    n += 1
    if (nOf(update.seq) !== n) throw new Error(`attempt ${attempt}: n is ${nOf(update.seq)} where ${n} should be`)
  }
}

/** The bytes that a container wrote to one stream, put together from its log updates. */
export function outputOf(updates: readonly Update[], stream: 'stdout' | 'stderr'): Buffer {
  const parts = updates
    .filter((update) => update.type === 'log_update' && update['stream'] === stream)
    .flatMap((update) => {
      const bytes = update['bytes']
      const line = typeof bytes === 'string' ? Buffer.from(bytes, 'base64') : Buffer.from(String(update['content']))
      return update['eol'] === false ? [line] : [line, Buffer.from('\n')]
    })
  return Buffer.concat(parts)
}

/** A shell command as a job in the small test image, each of its lines a log update. */
export function shell(image: string, script: string, more: SubmitBody = {}): SubmitBody {
  return { image, command: ['sh', '-c', script], parse_updates: false, resources: SMALL, ...more }
}

/** A field of any frame; undefined where the frame has none of that name. */
export function field(frame: Frame, name: string): unknown {
  return (frame as Readonly<Record<string, unknown>>)[name]
}
