// No control plane is alive for 20 s under load: containers print, jobs end, clients wait and others ask for jobs. Once one
// is started, nothing is missing, nothing is said twice, and no job was given up. The figures are printed, not judged: a
// busy machine has no say in what is lost. `npm run --silent bench -- away` measures them.
import { afterAll, beforeAll, expect, inject, it } from 'vitest'
import { runOutage } from '../support/outage.ts'
import { startStack, type Stack } from '../support/stack.ts'

const LOAD = { printing: 5, ending: 10, endsAfterSeconds: 10, asking: 10 }

let stack: Stack
beforeAll(async () => {
  stack = await startStack({ agents: 2 })
})
afterAll(() => stack.close())

it('no control plane for 20 s under load: no job and no byte is lost or repeated, and none is run again', async () => {
  const outage = await runOutage(stack, { ...LOAD, image: inject('busyboxImage'), awayMs: 20_000 })
  console.log(`caught up ${outage.caughtUpMs} ms after the start, waiting clients after ${outage.flowingMs} ms`)
  expect(outage).toMatchObject({ jobs: 25, lostJobs: 0, lostBytes: 0, repeatedBytes: 0, lapsed: 0 })
}, 150_000)
