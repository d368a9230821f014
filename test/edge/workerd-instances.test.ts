// Instances of workerd come and go: killed under the jobs that they serve, or there for one request only. No job is lost,
// none runs twice, and every line arrives once. The numbers that the project was asked for, which take minutes:
//
//   DRAY_KILLED_JOBS=200 DRAY_KILLS=50 DRAY_SHORT_JOBS=1000 npm run test:edge -- test/edge/workerd-instances.test.ts
import { afterEach, expect, inject, it } from 'vitest'
import type { SubmitBody } from '../../shared/job-spec.ts'
import type { Frame } from '../../shared/update.ts'
import { eventually } from '../support/eventually.ts'
import { assertContiguous, field, follow, shell } from '../support/jobs.ts'
import { startStack, type Stack } from '../support/stack.ts'

const wanted = (name: string, usually: number): number => Number(process.env[name] ?? usually)
const KILLED_JOBS = wanted('DRAY_KILLED_JOBS', 20)
const KILLS = wanted('DRAY_KILLS', 10)
const SHORT_JOBS = wanted('DRAY_SHORT_JOBS', 20)
/** What a machine of two cores does while everything else goes on. */
const JOBS_A_SECOND = 1
const TIMEOUT_MS = 60_000 + (Math.max(KILLED_JOBS, SHORT_JOBS) / JOBS_A_SECOND) * 1_000
const LINES = 40

const SMALL = { resources: { memory: '16m', cpus: 0.1 } }
const counting = shell(inject('busyboxImage'), `for i in $(seq 1 ${LINES}); do echo $i; sleep 0.2; done`, SMALL)
const short = shell(inject('busyboxImage'), `seq 1 ${LINES}`, SMALL)

let stack: Stack
afterEach(() => stack.close())

async function submitAll(count: number, body: SubmitBody, name: string): Promise<readonly string[]> {
  const ids: string[] = []
  for (let index = 0; index < count; index++)
    ids.push((await stack.client.submit(body, { idempotencyKey: `${name}-${index}` })).id)
  return ids
}

/** Once, whole, in order, in one attempt; and there are no other jobs. */
async function expectWhole(ids: readonly string[], stories: readonly ReturnType<typeof follow>[]): Promise<void> {
  for (const story of stories) {
    const { updates, terminal, gaps, job } = await story
    expect([job.id, terminal.status, gaps.length, job.attempts.length]).toEqual([job.id, 'completed', 0, 1])
    assertContiguous(updates)
    const printed = updates.filter((update) => update['stream'] === 'stdout').map((update) => update['content'])
    expect(printed).toEqual(Array.from({ length: LINES }, (_, index) => String(index + 1)))
  }
  expect(new Set(ids).size).toBe(stories.length)
}

it(
  `${KILLED_JOBS} jobs survive ${KILLS} kills of the instance: each ends once, with every line`,
  async () => {
    stack = await startStack({ agents: 1, runtime: 'workerd' })
    const ids = await submitAll(KILLED_JOBS, counting, 'killed')
    let lines = 0
    const count = (frame: Frame): void => void (lines += field(frame, 'stream') === 'stdout' ? 1 : 0)
    const stories = ids.map((id) => follow(stack.client, id, 0, count))
    for (let kill = 0; kill < KILLS; kill++) {
      // Spread over the run; the last ones come while the last jobs speak.
      const before = (ids.length * LINES * kill) / (KILLS + 1)
      await eventually(() => lines >= before, { deadlineMs: TIMEOUT_MS, what: `kill ${kill} is due` })
      await stack.controlPlane.stop('SIGKILL')
      await stack.startControlPlane()
    }
    await expectWhole(ids, stories)
  },
  TIMEOUT_MS,
)

it(
  `${SHORT_JOBS} jobs end once on instances that live for one request only`,
  async () => {
    stack = await startStack({ agents: 1, runtime: 'workerd', isolatePerRequest: true })
    const ids = await submitAll(SHORT_JOBS, short, 'short')
    for (const id of ids) await expectWhole([id], [follow(stack.client, id)])
  },
  TIMEOUT_MS,
)
