// A run whose publisher finds that another process of its agent writes, or that it has to begin again: whoever hears of it
// first, the container stays. Its engine and its control plane only answer; everything that decides is real.
import { expect, test } from 'vitest'
import type { PublisherRequest } from '../../runner-agent/job-context.ts'
import { startJobRun } from '../../runner-agent/job-run.ts'
import type { PublisherStop } from '../../runner-agent/unit-sender.ts'
import { bareDeps, NOTHING_STORED } from '../support/bare-run.ts'

const KEY = { tenant: 'default', job: 'j1', attempt: 1 }
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
  }
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
  const deps = bareDeps({ engine, openPublisher, finish: () => new Promise(() => undefined) })
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
