// No control plane is alive for a while, under load: containers print, some end, clients wait, others keep asking for jobs.
// Then one is started, and what was held up has to come through. For the test and for the benchmark.
import type { Client } from '../../shared/client/create-client.ts'
import { isTerminal } from '../../shared/job.ts'
import { eventually } from './eventually.ts'
import { assertContiguous, follow, shell } from './jobs.ts'
import { startPrinters, type PrinterEnd } from './printers.ts'
import type { Stack } from './stack.ts'

export interface OutageOptions {
  readonly image: string
  readonly awayMs: number
  /** Containers that print the whole time, each with a client that waits. */
  readonly printing: number
  /** Jobs that end meanwhile, so long after their start, and jobs that are asked for meanwhile. */
  readonly ending: number
  readonly endsAfterSeconds: number
  readonly asking: number
}

/** Times count from the start of the control plane's process. */
export interface Outage {
  readonly jobs: number
  /** Of them, those that did not end as they should, once, with all of their output. */
  readonly lostJobs: number
  readonly lostBytes: number
  readonly repeatedBytes: number
  /** Jobs that were given up and run again, or called lost for a while: nobody was. */
  readonly lapsed: number
  readonly readyMs: number
  /** What had ended meanwhile is told, what was asked for meanwhile is accepted, each agent is heard of. */
  readonly caughtUpMs: number
  /** The last of the clients that waited has a line that was printed after the start. */
  readonly flowingMs: number
}

const LINES = 200
const DEADLINE_MS = 60_000
const TINY = { resources: { memory: '32m', cpus: 0.1 } }

export async function runOutage(stack: Stack, options: OutageOptions): Promise<Outage> {
  const { client, controlPlane } = stack
  const printers = await startPrinters(client, options.image, options.printing)
  const body = shell(options.image, `echo begin; sleep ${options.endsAfterSeconds}; seq 1 ${LINES}`, TINY)
  await printers.untilAllPrinted(0, DEADLINE_MS)
  const ending = await Promise.all(Array.from({ length: options.ending }, async () => (await client.submit(body)).id))
  // On a slow machine the first may have ended before the last one starts.
  await untilEach(client, ending, ({ phase }) => phase === 'running' || phase === 'finished')

  await controlPlane.stop('SIGKILL')
  const backMs = performance.now() + options.awayMs
  const deadlineMs = options.awayMs + DEADLINE_MS
  const asked = Array.from({ length: options.asking }, (_, index) =>
    eventually(async () => (await client.submit(body, { idempotencyKey: `asked-${index}` })).id, {
      deadlineMs,
      everyMs: 250,
      what: 'a submit is answered',
    }),
  )
  // Looked at below; until then none may be a rejection that nobody handles.
  const accepting = Promise.all(asked)
  accepting.catch(() => undefined)
  await eventually(() => performance.now() >= backMs, { deadlineMs, everyMs: 100, what: 'it was away for so long' })

  const startedAtMs = Date.now()
  await stack.startControlPlane()
  const readyMs = Date.now() - startedAtMs
  const flowing = printers.untilAllPrinted(startedAtMs, DEADLINE_MS)
  flowing.catch(() => undefined)
  const accepted = await accepting
  await untilEach(client, ending, ({ status }) => isTerminal(status))
  await untilAllHeard(client, startedAtMs)
  const caughtUpMs = Date.now() - startedAtMs
  const flowingMs = (await flowing) - startedAtMs
  const ids = [...ending, ...accepted]
  const whole = await Promise.all(ids.map((id) => isWhole(client, id)))
  return {
    ...verdict(await printers.end(), whole),
    lapsed: await countLapsed(client, [...ids, ...printers.all.map(({ id }) => id)]),
    readyMs,
    caughtUpMs,
    flowingMs,
  }
}

function verdict(ends: readonly PrinterEnd[], whole: readonly boolean[]) {
  const sum = (of: (end: PrinterEnd) => number): number => ends.reduce((total, end) => total + of(end), 0)
  return {
    jobs: ends.length + whole.length,
    lostJobs:
      whole.filter((one) => !one).length + ends.filter(({ story }) => story.terminal.status !== 'cancelled').length,
    lostBytes: sum(({ lostBytes }) => lostBytes),
    repeatedBytes: sum(({ repeatedBytes }) => repeatedBytes),
  }
}

type Look = Awaited<ReturnType<Client['list']>>['items'][number]

async function untilEach(client: Client, ids: readonly string[], is: (job: Look) => boolean): Promise<void> {
  const wanted = new Set(ids)
  await eventually(
    async () => {
      const { items } = await client.list({ limit: 500 })
      return items.filter((job) => wanted.has(job.id) && is(job)).length === wanted.size
    },
    { deadlineMs: DEADLINE_MS, everyMs: 50, what: `${wanted.size} jobs are as they should be` },
  )
}

async function untilAllHeard(client: Client, sinceMs: number): Promise<void> {
  await eventually(
    async () => (await client.agents()).items.every(({ last_seen_at: at }) => Date.parse(at ?? '') >= sinceMs),
    { deadlineMs: DEADLINE_MS, everyMs: 50, what: 'each agent is heard of' },
  )
}

/** Ended well, once, with every line. */
async function isWhole(client: Client, id: string): Promise<boolean> {
  const { updates, gaps, job, terminal } = await follow(client, id)
  assertContiguous(updates)
  const lines = updates.filter((update) => update['stream'] === 'stdout')
  const ends = job.transitions.filter(({ status }) => isTerminal(status))
  return terminal.status === 'completed' && gaps.length === 0 && lines.length === LINES + 1 && ends.length === 1
}

async function countLapsed(client: Client, ids: readonly string[]): Promise<number> {
  const jobs = await Promise.all(ids.map((id) => client.show(id)))
  return jobs.filter(
    ({ attempts, transitions }) => attempts.length !== 1 || transitions.some(({ event }) => event === 'lapsed'),
  ).length
}
