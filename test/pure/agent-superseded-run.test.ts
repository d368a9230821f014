// A run whose publisher finds that another process of its agent writes, or that it has to begin again: whoever hears of it
// first, the container stays. Its engine and its control plane only answer; everything that decides is real.
import { expect, test } from 'vitest'
import type { Grant } from '../../shared/agent-protocol.ts'
import { submitBodySchema } from '../../shared/job-spec.ts'
import type { Engine } from '../../runner-agent/engine/engine-client.ts'
import type { JobDeps, PublisherRequest } from '../../runner-agent/job-context.ts'
import { startJobRun } from '../../runner-agent/job-run.ts'
import { createSemaphore } from '../../runner-agent/semaphore.ts'
import type { PublisherStop } from '../../runner-agent/unit-sender.ts'

const KEY = { tenant: 'default', job: 'j1', attempt: 1 }
const NOTHING_STORED = { n: 0, stdout_lines: 0, stderr_lines: 0, subject_seq: 0, session: null }
const GRANT: Grant = {
  spec: submitBodySchema.parse({ image: 'x' }),
  env: {},
  secrets: {},
  limits: { output_bytes: 1_000, line_bytes: 1_000 },
  gpus: [],
  lost_after_seconds: 600,
  cancel_requested: false,
  resume: NOTHING_STORED,
}
const ENDED = { Running: false, Status: 'exited', ExitCode: 0, OOMKilled: false, Dead: false }
const TIMES = { StartedAt: '2027-01-15T08:00:00Z', FinishedAt: '2027-01-15T08:00:01Z' }

/** The end of a run of a container that was found ended, when its publisher stops as `stop` says. */
async function endOf(stop: PublisherStop) {
  const removed: string[] = []
  const engine = {
    inspectContainer: async () => ({ Config: { Labels: {} }, Image: 'sha256:1', State: { ...ENDED, ...TIMES } }),
    inspectImage: async () => ({ Id: 'sha256:1', RepoDigests: [] }),
    waitForExit: async () => ({ exitCode: 0 }),
    readLog: async () => undefined,
    removeContainer: async (id: string) => void removed.push(id),
  } as unknown as Engine
  const openPublisher = ({ onStop }: PublisherRequest) => ({
    offer: () => true,
    room: async () => undefined,
    push: async () => undefined,
    // As the real one does it: those who wait hear of its end, and then it is said why.
    async flush() {
      await Promise.resolve()
      queueMicrotask(() => onStop(stop))
      throw new Error(`Publishing stopped: ${stop.kind}`)
    },
    position: () => NOTHING_STORED,
    nextN: () => 1,
    stop: async () => undefined,
  })
  const deps = {
    agentId: 'a1',
    session: 's2',
    bootId: 'b1',
    engine,
    controlPlane: {
      claim: async () => ({ kind: 'ok', value: GRANT }),
      finish: () => new Promise(() => undefined),
    },
    policy: { defaults: { memory: 2 ** 28, cpus: 1 }, image: 'x' },
    starts: createSemaphore(1),
    openPublisher,
    welcomed: Promise.resolve(),
    beat: () => 1,
    poke: () => undefined,
    onPulled: () => undefined,
    log: { info: () => undefined, warn: () => undefined, error: () => undefined },
  } as unknown as JobDeps
  const found = { id: 'c1', key: KEY, state: 'exited', bootId: 'b1', lostAfterSeconds: 600, updatesBefore: 0 }
  const end = await startJobRun(deps, { key: KEY, found }).done
  return { end, removed }
}

test('a superseded process leaves the container to the newer one', async () => {
  expect(await endOf({ kind: 'superseded' })).toEqual({ end: 'over', removed: [] })
})

test('a process that finds more stored than it was told takes its container over once more', async () => {
  expect(await endOf({ kind: 'rewind', resume: NOTHING_STORED })).toEqual({ end: 'again', removed: [] })
})

test('a container whose attempt does not count any more is removed', async () => {
  expect(await endOf({ kind: 'fenced' })).toEqual({ end: 'over', removed: ['c1'] })
})
