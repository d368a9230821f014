// A store of updates that was wiped after an attempt had finished: its agent goes on behind a jump, beyond the number that
// `finish` told. Readers must come to the end all the same.
import { expect, test } from 'vitest'
import { readJob } from '../../control-plane/core/job-reader.ts'
import type { StoredBatch } from '../../control-plane/core/bus-port.ts'
import type { RowWatch } from '../../control-plane/core/relay-rows.ts'
import { newJobState } from '../../shared/job-machine.ts'
import { submitBodySchema } from '../../shared/job-spec.ts'
import type { JobRecord } from '../../shared/job.ts'
import { seqOf, terminalSeq } from '../../shared/position.ts'

const spec = submitBodySchema.parse({ image: 'x' })
const KEY = { tenant: 'acme', job: 'j1' }

/** Ended with five updates, which nobody holds any more. */
const ENDED: JobRecord = {
  state: {
    ...newJobState('acme', 'j1', spec.retries),
    status: 'completed',
    phase: 'finished',
    attempt: 1,
    result: {},
    exit: { code: 0, oom_killed: false, reason: 'exited' },
  },
  spec,
  retryOf: null,
  createdAtMs: 1,
  startedAtMs: 2,
  finishedAtMs: 3,
  attempts: [
    {
      attempt: 1,
      agent: 'a1',
      session: 's1',
      gpus: [],
      imageDigest: null,
      claimedAtMs: 1,
      startedAtMs: 2,
      finishedAtMs: 3,
      updates: 5,
      told: null,
      exit: null,
      error: null,
    },
  ],
  heldAttempts: [],
  leaseLeftMs: null,
}

const FIRST_AFTER_THE_JUMP = 2 ** 20 + 4

function batch(n: number): StoredBatch {
  const update = { type: 'log_update', content: `line ${n}` }
  return {
    streamSeq: 1,
    sizeBytes: 1,
    batch: { session: 's2', n, updates: [update], stdout_lines: 0, stderr_lines: 0 },
  }
}

const rows: RowWatch = {
  current: () => ENDED,
  read: async () => ENDED,
  isSure: () => true,
  onRead: () => () => undefined,
  close: () => undefined,
}

const bus = {
  readResume: async () => ({
    n: FIRST_AFTER_THE_JUMP,
    stdout_lines: 0,
    stderr_lines: 0,
    subject_seq: 1,
    session: 's2',
  }),
  firstSeq: async () => 1,
  storedAttempts: async () => ({ attempts: [], streamFirstSeq: 1, streamLastSeq: 1 }),
  async *readBatches(_agent: string, _key: object, _fromN: number, signal: AbortSignal) {
    yield batch(FIRST_AFTER_THE_JUMP)
    await new Promise((resolve) => signal.addEventListener('abort', resolve))
  },
}

const clock = {
  nowMs: () => Date.now(),
  after(ms: number, callback: () => void) {
    const timer = setTimeout(callback, ms)
    return () => clearTimeout(timer)
  },
}

test('a reader of a finished job whose store was wiped is told of the gap and of the end', async () => {
  const stop = AbortSignal.timeout(5_000)
  const frames = []
  for await (const chunk of readJob({ key: KEY, rows, bus, clock }, seqOf(1, 3), stop)) frames.push(...chunk.frames)
  expect(frames.map(({ kind, seq }) => [kind, seq])).toEqual([
    ['gap', seqOf(1, 5)],
    ['terminal', terminalSeq(1)],
  ])
})
