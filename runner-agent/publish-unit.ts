// What is sent as one step: a batch of updates in one message, or one large update in several (PROTOCOL 5). A unit is
// built once and sent until its fate is known; it is never built again in another cut.
import { MAX_BATCH_BYTES, type UpdateBatch } from '../shared/agent-protocol.ts'

/** One update that waits, as JSON; `stdout` and `stderr` are the lines that all updates up to it hold. */
export interface WaitingUpdate {
  readonly json: string
  readonly sizeBytes: number
  readonly stdout: number
  readonly stderr: number
}

export interface UpdatePosition {
  readonly n: number
  readonly stdout_lines: number
  readonly stderr_lines: number
}

export interface PublishUnit {
  /** In order; all but a split update have one. */
  readonly messages: readonly Uint8Array[]
  /** Of its updates' JSON. */
  readonly sizeBytes: number
  /** Where the attempt stands once all of it is stored. */
  readonly after: UpdatePosition
}

/** Everything in a message but its updates: names, numbers, a session of at most 63 letters. */
const OVERHEAD_BYTES = 512
const ROOM_BYTES = MAX_BATCH_BYTES - OVERHEAD_BYTES
/** Letters of a part: in JSON a letter of JSON takes at most three bytes. */
const PART_LETTERS = Math.floor(ROOM_BYTES / 3)

/** Takes as many updates from the front of `waiting` as fit; `before` is the position behind the last unit. */
export function takeUnit(waiting: WaitingUpdate[], before: UpdatePosition, session: string): PublishUnit {
  let sizeBytes = 0
  let count = 0
  for (const update of waiting) {
    // Each update but the first costs a comma, too.
    if (count > 0 && sizeBytes + update.sizeBytes + count > ROOM_BYTES) break
    sizeBytes += update.sizeBytes
    count += 1
  }
  const taken = waiting.splice(0, count)
  const last = taken[count - 1]
  if (!last) throw new Error('A unit needs at least one update')
  const after = { n: before.n + count, stdout_lines: last.stdout, stderr_lines: last.stderr }
  const messages =
    sizeBytes > ROOM_BYTES ? partsOf(last.json, before, after, session) : [batchOf(taken, before, after, session)]
  return { messages, sizeBytes, after }
}

function batchOf(
  updates: readonly WaitingUpdate[],
  before: UpdatePosition,
  { stdout_lines, stderr_lines }: UpdatePosition,
  session: string,
): Uint8Array {
  const head = JSON.stringify({ session, n: before.n + 1, stdout_lines, stderr_lines })
  // The updates are JSON already: put between the braces instead of being parsed and written again.
  return Buffer.from(`${head.slice(0, -1)},"updates":[${updates.map(({ json }) => json).join(',')}]}`)
}

function partsOf(json: string, before: UpdatePosition, after: UpdatePosition, session: string): Uint8Array[] {
  const m = Math.ceil(json.length / PART_LETTERS)
  return Array.from({ length: m }, (_, index) => {
    const k = index + 1
    // Parts before the last carry the counts before n: whoever resumes there reads the line again.
    const { stdout_lines, stderr_lines } = k === m ? after : before
    const text = json.slice(index * PART_LETTERS, k * PART_LETTERS)
    const part: UpdateBatch = { session, n: after.n, updates: [], stdout_lines, stderr_lines, part: { k, m, text } }
    return Buffer.from(JSON.stringify(part))
  })
}
