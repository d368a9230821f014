// What a claim says about where the stored updates end, when the store has lost some of them: a process that published them
// itself is told the truth and stores them again; a new one goes on behind all that clients may have seen.
import { expect, test } from 'vitest'
import { claim } from '../../control-plane/core/agent-calls.ts'
import type { AgentCall } from '../../control-plane/core/core.ts'
import type { CoreContext } from '../../control-plane/core/deps.ts'
import { submitBodySchema } from '../../shared/job-spec.ts'
import { newJobState } from '../../shared/job-machine.ts'
import type { JobState } from '../../shared/job.ts'

const KEY = { tenant: 'default', job: 'j1' }
const spec = submitBodySchema.parse({ image: 'x' })
const STORED = { n: 16, stdout_lines: 12, stderr_lines: 3, subject_seq: 92, session: 's0' }
const HELD = { ...KEY, attempt: 1, phase: 'finished', n: 21, stdout_lines: 16, stderr_lines: 4 }

const live: JobState = {
  ...newJobState('default', 'j1', spec.retries),
  status: 'running',
  phase: 'reconnecting',
  attempt: 1,
  assignment: { agent: 'a1', attempt: 1, gpus: [], session: 's1', claimBeat: 1, heldPhase: 'running' },
}
const ended: JobState = { ...live, status: 'completed', phase: 'finished', assignment: null }

/** The n that `session` is told; attempt 1 was claimed by s1. */
async function toldTo(
  session: string,
  state: JobState,
  stored: { readonly session: string | null } = STORED,
  publishing?: boolean,
) {
  const row = { attempt: 1, agent: 'a1', session: 's1', updates: state === ended ? 25 : null }
  const core = {
    store: { readJob: async () => ({ state, spec, attempts: [row] }), commit: async () => true },
    bus: { readResume: async () => ({ ...STORED, ...stored }), publishHint: () => undefined },
    config: { outputBytes: 1, lineBytes: 1 },
    hint: () => undefined,
    pokeScheduler: () => undefined,
  } as unknown as CoreContext
  const call = { agent: { id: 'a1', session, held: [HELD] }, session } as unknown as AgentCall
  return (await claim(core, call, KEY, { attempt: 1, beat: 9, adopt: true, publishing })).resume.n
}

test('a process whose updates the store lost is told what is there, also once its job has ended or was taken for lost', async () => {
  expect(await toldTo('s1', ended)).toBe(16)
  expect(await toldTo('s1', live)).toBe(16)
})

test('a process that went on publishing after a restart is told what is there', async () => {
  expect(await toldTo('s2', ended, { session: 's2' })).toBe(16)
})

test('a new process goes on behind all that the old one told', async () => {
  expect(await toldTo('s2', ended)).toBe(21 + 2 ** 20)
  expect(await toldTo('s2', live)).toBe(21 + 2 ** 20)
})

test('a new process whose first claim was not answered, NATS being away, is not taken for the one that published', async () => {
  const wiped = { session: null, n: 0, subject_seq: 0 }
  // The row names it: its first claim changed that.
  expect(await toldTo('s1', live, wiped, false)).toBe(21 + 2 ** 20)
  expect(await toldTo('s1', ended, wiped, false)).toBe(21 + 2 ** 20)
  expect(await toldTo('s1', live, wiped, true)).toBe(0)
})
