// Bits flip in the files of the stream UPDATES. What nats-server finds spoiled it drops, what was dropped is a gap; nobody is
// ever given garbage, and no job knows of it.
import { readdir, readFile, writeFile } from 'node:fs/promises'
import path from 'node:path'
import { afterEach, beforeEach, describe, expect, inject, it } from 'vitest'
import { seqOf } from '../../shared/position.ts'
import { isGap, isStateFrame, isTerminalUpdate } from '../../shared/update.ts'
import { eventually } from '../support/eventually.ts'
import { field, follow, runToEnd, shell, type Story } from '../support/jobs.ts'
import { startStack, type Stack } from '../support/stack.ts'

let stack: Stack
beforeEach(async () => {
  stack = await startStack({ agents: 1 })
})
afterEach(() => stack.close())

const image = inject('busyboxImage')
const LINES = 400

/** A few bytes in a row, each with all of its bits turned over. */
async function flip(file: string, share: number): Promise<void> {
  const bytes = await readFile(file)
  const from = Math.min(bytes.length - 8, Math.floor(bytes.length * share))
  for (let at = from; at < from + 8; at++) bytes[at] = (bytes[at] ?? 0) ^ 0xff
  await writeFile(file, bytes)
}

async function filesOf(pattern: RegExp): Promise<string[]> {
  const names = await readdir(stack.nats.storeDir, { recursive: true })
  const found = names.filter((name) => name.includes('UPDATES') && pattern.test(name))
  return found.map((name) => path.join(stack.nats.storeDir, name))
}

/** Every update that is there is as it was; what is not there is said. */
function expectHonest(now: Story, before: Story): void {
  const known = new Map(before.updates.map((update) => [update.seq, update]))
  const read: unknown[] = []
  let cursor = seqOf(1, 0)
  for (const frame of now.frames) {
    if (isStateFrame(frame) || isTerminalUpdate(frame)) continue
    expect(isGap(frame) ? frame.from : frame.seq).toBe(cursor + 1)
    cursor = isGap(frame) ? frame.to : frame.seq
    if (!isGap(frame)) read.push(frame)
  }
  expect(cursor).toBe(before.updates.at(-1)?.seq)
  expect(read).toEqual(now.updates.map(({ seq }) => known.get(seq)))
  expect(now.terminal).toEqual(before.terminal)
  expect(now.job).toEqual(before.job)
}

async function damage(pattern: RegExp, share: number): Promise<void> {
  // It ends in good order, so that its index is written.
  await stack.nats.stop()
  const files = await filesOf(pattern)
  expect(files.length).toBeGreaterThan(0)
  for (const file of files) await flip(file, share)
  await stack.nats.start()
}

describe('a store of updates with flipped bits', () => {
  it.each([
    ['at the start of a block', /\.blk$/, 0.01],
    ['in the middle of a block', /\.blk$/, 0.5],
    ['at the end of a block', /\.blk$/, 1],
    ['in the index', /index\.db$/, 0.5],
  ])(
    '%s: each update is as it was or said to be gone, and jobs go on',
    async (_, pattern, share) => {
      const told = await runToEnd(
        stack.client,
        shell(image, `for i in $(seq 1 ${LINES}); do echo line $i; sleep 0.005; done`),
      )
      expect(told.gaps).toEqual([])
      await damage(pattern, share)
      const now = await eventually(() => follow(stack.client, told.job.id), { deadlineMs: 20_000 })
      expectHonest(now, told)
      // An index is made again from its blocks.
      expect(now.gaps.length > 0).toBe(pattern.test('1.blk'))
      const next = await runToEnd(stack.client, shell(image, 'echo one; echo two'))
      expect(next.terminal).toMatchObject({ status: 'completed', attempt: 1 })
      expect(next.gaps).toEqual([])
      expect(next.updates.flatMap((update) => update['content'] ?? [])).toEqual(['one', 'two'])
    },
    60_000,
  )

  it('while a job runs: it ends in its one attempt, with every later line, and what is gone is one gap', async () => {
    const { id } = await stack.client.submit(
      shell(image, `for i in $(seq 1 ${LINES}); do echo $i; sleep 0.02; done; exit 7`),
    )
    for await (const frame of stack.client.updates(id)) if (field(frame, 'content') === '50') break
    await damage(/\.blk$/, 1)
    const { job, frames, updates, gaps, terminal } = await follow(stack.client, id)
    expect(terminal).toMatchObject({ status: 'error', attempt: 1, exit: { code: 7, reason: 'exited' } })
    expect(job.attempts).toHaveLength(1)
    expect(gaps.length).toBeLessThanOrEqual(1)
    expect(frames.at(-1)).toEqual(terminal)
    const lines = updates.flatMap((update) => (update['stream'] === 'stdout' ? Number(update['content']) : []))
    expect(new Set(lines).size).toBe(lines.length)
    expect(lines).toEqual(lines.toSorted((a, b) => a - b))
    // At most what was stored when it happened is gone: the last record, or nothing where the agent still remembers it.
    expect(lines.slice(-300)).toEqual(Array.from({ length: 300 }, (_, at) => LINES - 299 + at))
  }, 60_000)
})
