// A job that is cancelled while the engine is making its container: the engine makes it all the same, and nobody would ever
// remove it. Engine and control plane only answer here; everything that decides is real.
import { expect, test } from 'vitest'
import { eventually } from '../support/eventually.ts'
import { startJobRun } from '../../runner-agent/job-run.ts'
import { bareDeps, NOTHING_STORED } from '../support/bare-run.ts'

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
  }
  const publisher = {
    offer: () => true,
    flush: async () => undefined,
    position: () => NOTHING_STORED,
    stop: async () => undefined,
  }
  const finish = async () => ({ kind: 'ok', value: {} })
  const deps = bareDeps({ engine, openPublisher: () => publisher, finish })
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
