// What a job and an idle agent cost where requests, rows and messages are paid for, and what an isolate costs that has to be
// made first: counted in a real run on workerd, and held to bounds. `npm run test:edge -- test/edge/costs.test.ts` prints
// the lines that docs/deployment.md has.
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, inject, it } from 'vitest'
import { dialNats } from '../../control-plane/bus/nats-dial.ts'
import { bundleWorker } from '../../deploy/worker-bundle.ts'
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
const IDLE_BEATS = 8
/** A third of the lease. */
const BEAT_MS = 2_000

const COLD_TRIES = 20

let stack: Stack
const printed: string[] = [
  '| | requests | database round trips | rows written | messages to NATS |',
  '|---|---|---|---|---|',
]
let requests = 0
let counting: NodeJS.Timeout

beforeAll(async () => {
  stack = await startStack({ agents: 1, runtime: 'workerd', controlPlaneEnv: { DRAY_LOG_LEVEL: 'info' } })
  counting = setInterval(countRequests, 100)
})
afterAll(async () => {
  clearInterval(counting)
  await stack.close()
  console.log(printed.join('\n'))
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
  const cells = Object.values(costs).map((count) => String(count >= 100 ? Math.round(count / 100) * 100 : count))
  printed.push(`| ${[what, ...cells].join(' | ')} |`)
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

/** Until the agent has beaten so many times more: whole beats, so that an hour can be told from a few. */
async function beats(count: number): Promise<void> {
  const enough = requests + count
  const deadlineMs = (count + 3) * BEAT_MS
  await eventually(() => requests >= enough, { deadlineMs, everyMs: 50, what: `${count} beats` })
}

it('an idle agent writes two rows a beat: its own, and that of the sweep it brings', async () => {
  await beats(1)
  const idle = await during(() => beats(IDLE_BEATS))
  expect(idle.requests).toBeLessThanOrEqual(IDLE_BEATS + 1)
  expect(idle.rowsWritten).toBeLessThanOrEqual((IDLE_BEATS + 1) * 2)
  show('an idle agent, each hour, lease 6 s', idle, (IDLE_BEATS * BEAT_MS) / 3_600_000)
}, 60_000)

it('a job that is followed costs a bounded number of requests, rows and messages', async () => {
  const job = await during(async () => {
    for (let index = 0; index < JOBS; index++) {
      const { id } = await stack.client.submit(shell(inject('busyboxImage'), 'seq 1 10'))
      expect((await follow(stack.client, id)).terminal.status).toBe('completed')
    }
  })
  const { requests: calls, rowsWritten, natsMessages } = show('a job', job, JOBS)
  expect(calls).toBeLessThan(12)
  expect(rowsWritten).toBeLessThan(45)
  expect(natsMessages).toBeLessThan(80)
}, 120_000)

/** How long /healthz takes: the median. */
async function answerMs({ url }: Stack): Promise<number> {
  const tries: number[] = []
  for (let time = 0; time < COLD_TRIES; time++) {
    const begin = performance.now()
    await (await fetch(`${url}/healthz`)).text()
    tries.push(performance.now() - begin)
  }
  return tries.toSorted((a, b) => a - b)[COLD_TRIES / 2] ?? 0
}

it('an isolate that is made for a request costs it little', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'dray-costs-'))
  const { sizeBytes, gzipBytes } = await bundleWorker(folder)
  await rm(folder, { recursive: true, force: true })
  const cold = await startStack({ agents: 0, runtime: 'workerd', isolatePerRequest: true })
  const [warmMs, coldMs] = [await answerMs(stack), await answerMs(cold)]
  await cold.close()
  const kib = (bytes: number): number => Math.ceil(bytes / 1024)
  printed.push(`The bundle is ${kib(sizeBytes)} KiB, ${kib(gzipBytes)} KiB compressed.`)
  printed.push(`An answer takes ${warmMs.toFixed(1)} ms, with an isolate that is made for it ${coldMs.toFixed(0)} ms.`)
  // What Cloudflare allows for the start of a worker is 1 s of CPU.
  expect(coldMs).toBeLessThan(500)
}, 60_000)
