// An agent is killed hard with 20 containers running and started again: it has all of them back, each in its attempt, and
// nothing that they printed meanwhile is lost or said twice. The figure is printed; `npm run --silent bench -- adoption`
// measures it alone on the machine.
import { afterAll, beforeAll, expect, inject, it } from 'vitest'
import { restartKilled } from '../support/adoption.ts'
import { startPrinters } from '../support/printers.ts'
import { startStack, type Stack } from '../support/stack.ts'

const CONTAINERS = 20

let stack: Stack
beforeAll(async () => {
  stack = await startStack({ agents: 1 })
})
afterAll(() => stack.close())

it('an agent killed with 20 running containers has all of them back, no byte lost or repeated', async () => {
  const printers = await startPrinters(stack.client, inject('busyboxImage'), CONTAINERS)
  await printers.untilAllPrinted(0, 60_000)
  const { adopted, adoptedMs, flowingMs } = await restartKilled(stack.agents[0]!, printers, stack.client)
  console.log(`${adopted} adopted within ${adoptedMs} ms of the restart, their output flows after ${flowingMs} ms`)
  expect(adopted).toBe(CONTAINERS)
  for (const { story, lostBytes, repeatedBytes } of await printers.end()) {
    expect(story.gaps).toEqual([])
    expect(story.job.attempts).toHaveLength(1)
    expect({ lostBytes, repeatedBytes }).toEqual({ lostBytes: 0, repeatedBytes: 0 })
  }
}, 120_000)
