// What a job and an idle agent cost where requests, rows and messages are paid for: counted in a real run on workerd, and
// held to bounds. `npm run test:edge -- costs` prints the table of docs/deployment.md.
import { afterAll, beforeAll, expect, inject, it } from 'vitest'
import { dialNats } from '../../control-plane/bus/nats-dial.ts'
import { eventually } from '../support/eventually.ts'
import { follow, shell } from '../support/jobs.ts'
import { startStack, type Stack } from '../support/stack.ts'

interface Costs {
  readonly requests: number
  readonly databaseTrips: number
  readonly rowsWritten: number
  readonly natsMessages: number
}

const JOBS = 20
const IDLE_MS = 12_000

let stack: Stack
let requests = 0
let counting: NodeJS.Timeout

beforeAll(async () => {
  stack = await startStack({ agents: 1, runtime: 'workerd', controlPlaneEnv: { DRAY_LOG_LEVEL: 'info' } })
  counting = setInterval(countRequests, 100)
})
afterAll(async () => {
  clearInterval(counting)
  await stack.close()
})

let lastId = ''
/** From the log, of which only the end is kept. */
function countRequests(): void {
  const ids = [...stack.controlPlane.output().matchAll(/"message":"request".*"request_id":"([^"]+)"/g)]
  const fresh = ids.slice(ids.findIndex(([, id]) => id === lastId) + 1)
  requests += fresh.length
  lastId = fresh.at(-1)?.[1] ?? lastId
}

async function costsNow(): Promise<Costs> {
  const system = await dialNats({
    urls: [stack.nats.url],
    credentials: stack.nats.identity.systemUser,
    name: 'test',
  })
  const answer = await system.request('$SYS.REQ.SERVER.PING', '', { timeout: 2_000 })
  const { statsz } = answer.json<{ statsz: { received: { msgs: number } } }>()
  await system.close()
  countRequests()
  return {
    requests,
    databaseTrips: stack.plane.database?.requestCount() ?? 0,
    rowsWritten: stack.plane.database?.rowsWritten() ?? 0,
    natsMessages: statsz.received.msgs,
  }
}

function show(what: string, { requests: calls, databaseTrips, rowsWritten, natsMessages }: Costs, per: number): Costs {
  const each = (count: number): number => Math.round((count / per) * 10) / 10
  const costs = {
    requests: each(calls),
    databaseTrips: each(databaseTrips),
    rowsWritten: each(rowsWritten),
    natsMessages: each(natsMessages),
  }
  console.log(`${what}: ${JSON.stringify(costs)}`)
  return costs
}

async function during(work: () => Promise<void>): Promise<Costs> {
  const before = await costsNow()
  await work()
  const after = await costsNow()
  return {
    requests: after.requests - before.requests,
    databaseTrips: after.databaseTrips - before.databaseTrips,
    rowsWritten: after.rowsWritten - before.rowsWritten,
    natsMessages: after.natsMessages - before.natsMessages,
  }
}

it('an idle agent writes two rows a beat: its own, and that of the sweep it brings', async () => {
  const end = performance.now() + IDLE_MS
  const idle = await during(() =>
    eventually(() => performance.now() > end, { deadlineMs: IDLE_MS * 2, everyMs: 100 }).then(() => undefined),
  )
  const beats = IDLE_MS / 2_000
  expect(idle.requests).toBeLessThanOrEqual(beats + 2)
  expect(idle.rowsWritten).toBeLessThanOrEqual((beats + 2) * 2)
  show('an idle agent, each hour at a lease of 6 s', idle, IDLE_MS / 3_600_000)
}, 60_000)

it('a job that is followed costs a bounded number of requests, rows and messages', async () => {
  const job = await during(async () => {
    for (let index = 0; index < JOBS; index++) {
      const { id } = await stack.client.submit(shell(inject('busyboxImage'), 'seq 1 10'))
      expect((await follow(stack.client, id)).terminal.status).toBe('completed')
    }
  })
  const { requests: calls, rowsWritten, natsMessages } = show('a job, followed by one client', job, JOBS)
  expect(calls).toBeLessThan(12)
  expect(rowsWritten).toBeLessThan(45)
  expect(natsMessages).toBeLessThan(80)
}, 120_000)
