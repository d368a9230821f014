// A job that is cancelled while the engine is making its container: the engine makes it all the same, and nobody would ever
// remove it. Engine and control plane only answer here; everything that decides is real.
import { expect, test } from 'vitest'
import { eventually } from '../support/eventually.ts'
import type { Grant } from '../../shared/agent-protocol.ts'
import { submitBodySchema } from '../../shared/job-spec.ts'
import type { Engine } from '../../runner-agent/engine/engine-client.ts'
import type { JobDeps } from '../../runner-agent/job-context.ts'
import { startJobRun } from '../../runner-agent/job-run.ts'
import { createSemaphore } from '../../runner-agent/semaphore.ts'

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

function createRig() {
  const made = Promise.withResolvers<{ id: string }>()
  const removed: string[] = []
  let isAsked = false
  const engine = {
    inspectImage: async () => ({ Id: 'sha256:1', RepoDigests: [] }),
    createContainer() {
      isAsked = true
      return made.promise
    },
    removeContainer: async (id: string) => void removed.push(id),
  } as unknown as Engine
  const publisher = {
    offer: () => true,
    flush: async () => undefined,
    position: () => NOTHING_STORED,
    stop: async () => undefined,
  }
  const deps = {
    agentId: 'a1',
    session: 's1',
    bootId: 'b1',
    engine,
    controlPlane: {
      claim: async () => ({ kind: 'ok', value: GRANT }),
      finish: async () => ({ kind: 'ok', value: {} }),
    },
    policy: { defaults: { memory: 2 ** 28, cpus: 1 }, image: 'x', command: [], settings: {}, gpuSettings: {} },
    starts: createSemaphore(1),
    openPublisher: () => publisher,
    welcomed: Promise.resolve(),
    beat: () => 1,
    poke: () => undefined,
    onPulled: () => undefined,
    log: { info: () => undefined, warn: () => undefined, error: () => undefined },
  } as unknown as JobDeps
  const run = startJobRun(deps, { key: { tenant: 'default', job: 'j1', attempt: 1 }, image: 'x' })
  return { run, made, removed, isAsked: () => isAsked }
}

test('a container that is made after its job was cancelled is removed', async () => {
  const { run, made, removed, isAsked } = createRig()
  await eventually(() => expect(isAsked()).toBe(true))
  run.control.end('cancelled', 0)
  expect(await run.done).toBe('over')
  made.resolve({ id: 'late' })
  await eventually(() => expect(removed).toEqual(['late']))
})

test('a container that is made after its process was told to go stays for the next one', async () => {
  const { run, made, removed, isAsked } = createRig()
  await eventually(() => expect(isAsked()).toBe(true))
  run.control.detach()
  await run.done
  made.resolve({ id: 'late' })
  await made.promise
  expect(removed).toEqual([])
})
