// An agent and its engine were killed within a start, and the engine did not write down that the container ran; what it said is
// stored. Its engine and its control plane only answer; everything that decides is real.
import { expect, test } from 'vitest'
import { startJobRun } from '../../runner-agent/job-run.ts'
import type { FinishBody } from '../../shared/agent-protocol.ts'
import { bareDeps, NOTHING_STORED } from '../support/bare-run.ts'

const KEY = { tenant: 'default', job: 'j1', attempt: 1 }

test('a container that has spoken is not started again, whatever its engine says', async () => {
  const calls: string[] = []
  const finishes: FinishBody[] = []
  const note = (name: string) => async () => void calls.push(name)
  const engine = {
    inspectContainer: async () => ({
      Config: { Labels: {} },
      State: { Status: 'created', StartedAt: '0001-01-01T00:00:00Z' },
    }),
    removeUnstarted: note('removeUnstarted'),
    startContainer: note('start'),
    removeContainer: note('remove'),
  }
  const publisher = {
    offer: () => true,
    flush: async () => undefined,
    position: () => NOTHING_STORED,
    stop: async () => undefined,
  }
  const finish = async (_key: object, body: FinishBody) => {
    finishes.push(body)
    return { kind: 'ok', value: {} }
  }
  const grant = { resume: { ...NOTHING_STORED, n: 3, stdout_lines: 1 } }
  const deps = bareDeps({ engine, openPublisher: () => publisher, finish, grant })
  const found = { id: 'c1', key: KEY, state: 'created', bootId: 'b1', lostAfterSeconds: 600, updatesBefore: 1 }
  await startJobRun(deps, { key: KEY, found }).done
  expect(finishes).toMatchObject([{ error: { code: 'engine_lost' } }])
  expect(calls).toEqual(['remove'])
})
