// When a silent attempt may be tried again: at once where the lease of its agent ran out, for no reader's row outlives
// that; else only when nobody can be sure any more of a row that shows the attempt alive.
import { expect, test } from 'vitest'
import type { CoreContext } from '../../control-plane/core/deps.ts'
import { SURE_MS } from '../../control-plane/core/sure-term.ts'
import { sweep } from '../../control-plane/core/sweep.ts'
import { newJobState } from '../../shared/job-machine.ts'
import { submitBodySchema } from '../../shared/job-spec.ts'
import type { JobRecord, RetryPolicy } from '../../shared/job.ts'

const retries: RetryPolicy = { max_attempts: 2, on: ['agent_lost'], backoff_seconds: 1, exclusive: false }

function silentJob(leaseLeftMs: number | null): JobRecord {
  const state = {
    ...newJobState('t', 'j', retries),
    status: 'running',
    phase: 'reconnecting',
    attempt: 1,
    assignment: { agent: 'a1', attempt: 1, gpus: [], session: 's', claimBeat: 1, heldPhase: 'running' },
  } as const
  return {
    state,
    spec: submitBodySchema.parse({ image: 'busybox' }),
    retryOf: null,
    createdAtMs: 0,
    startedAtMs: 0,
    finishedAtMs: null,
    attempts: [],
    heldAttempts: [],
    leaseLeftMs,
  }
}

async function isTriedAgain(leaseLeftMs: number | null, silentMs: number): Promise<boolean> {
  const record = silentJob(leaseLeftMs)
  const view = { blind: false, unclaimed: [], lapsed: [], expired: [], queuedCount: 0 }
  const events: string[] = []
  const core = {
    store: {
      beginSweep: async () => ({ ...view, reconnecting: [{ record, silentMs }] }),
      async commit({ event }: { event: { type: string } }) {
        events.push(event.type)
        return true
      },
    },
    config: { leaseMs: 6_000 },
    hint: () => undefined,
    pokeScheduler: () => undefined,
    clock: { nowMs: () => 0, after: () => () => undefined },
  }
  await sweep(core as unknown as CoreContext)
  return events.includes('lost')
}

test('an attempt is tried again at once when the lease of its agent ran out', async () => {
  expect(await isTriedAgain(0, 0)).toBe(true)
})

test('an attempt that its living agent does not list is tried again when no reader can be sure of it', async () => {
  expect(await isTriedAgain(5_000, SURE_MS - 1)).toBe(false)
  expect(await isTriedAgain(5_000, SURE_MS)).toBe(true)
})

test('so is one whose agent was deleted: its NATS access ends a moment later than its row', async () => {
  expect(await isTriedAgain(null, SURE_MS - 1)).toBe(false)
  expect(await isTriedAgain(null, SURE_MS)).toBe(true)
})
