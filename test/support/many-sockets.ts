// Thousands of WebSocket clients of one control plane on Node, a process of its own: most follow jobs that say nothing, some
// follow jobs that talk. How long an update takes from its agent's hands to a client's, and what the process weighs. For the
// test and for the benchmark. Agents and clients are all in this process, so what they take of the CPU is in the figures.
import { readFile } from 'node:fs/promises'
import type { Publisher } from '../../runner-agent/publisher.ts'
import { pause } from '../../shared/pause.ts'
import { seqOf } from '../../shared/position.ts'
import { isStateFrame } from '../../shared/update.ts'
import { eventually } from './eventually.ts'
import { field } from './jobs.ts'
import { logUpdate } from './nats-party.ts'
import { openRawStream, type RawStream } from './raw-stream.ts'
import type { RelayUnderTest } from './relay-under-test.ts'
import { servedRelay } from './served-relay.ts'
import { startStack } from './stack.ts'

export interface ManySocketsOptions {
  readonly seconds: number
  readonly idle: { readonly jobs: number; readonly clients: number }
  readonly busy: { readonly jobs: number; readonly clients: number }
  /** Of each busy job. */
  readonly updatesPerSecond: number
}

export interface ManySockets {
  /** Of each update at each client. The update was not stored yet when it was handed to its publisher. */
  readonly latenciesMs: readonly number[]
  /** Clients that missed an update, or had one twice, out of order or of another job, or that were closed. */
  readonly wrong: number
  readonly connectMs: number
  readonly rssMiB: { readonly before: number; readonly connected: number; readonly most: number }
}

/** So many clients dial at once. */
const DIALLING = 50

export async function runManySockets(options: ManySocketsOptions): Promise<ManySockets> {
  const stack = await startStack({ agents: 0 })
  const relay = await servedRelay('node', stack)
  const latenciesMs: number[] = []
  const open = (job: string): RawStream =>
    openRawStream({
      url: `${stack.url.replace('http', 'ws')}/v1/jobs/${job}/stream?after=0`,
      token: stack.token,
      onFrame: (frame) => {
        if (!isStateFrame(frame)) latenciesMs.push(performance.now() - Number(field(frame, 'content')))
      },
    })
  try {
    const idle = await runningJobs(relay, options.idle.jobs)
    const busy = await runningJobs(relay, options.busy.jobs)
    const publishers = await Promise.all(busy.map((job) => relay.publisherOf(job)))
    const scale = weigh(stack.controlPlane.pid ?? 0)
    const before = await scale.now()
    const begun = performance.now()
    const waiting = await connect(open, idle, options.idle.clients)
    const watching = await connect(open, busy, options.busy.clients)
    const connectMs = performance.now() - begun
    const connected = await scale.now()
    const sent = options.seconds * options.updatesPerSecond
    await Promise.all(publishers.map((publisher) => talk(publisher, sent, options.updatesPerSecond)))
    const due = sent * watching.length
    await eventually(() => latenciesMs.length >= due, { deadlineMs: 30_000, what: 'everything came' })
    const wrong = watching.filter((stream) => !hasAll(stream, sent)).length
    const strayed = waiting.filter((stream) => seqsOf(stream).length > 0 || stream.code() !== null).length
    const rssMiB = { before, connected, most: scale.most() }
    for (const publisher of publishers) await publisher.stop()
    for (const stream of [...waiting, ...watching]) stream.leave()
    return { latenciesMs, wrong: wrong + strayed, connectMs, rssMiB }
  } finally {
    await relay.close()
  }
}

async function runningJobs(relay: RelayUnderTest, count: number): Promise<string[]> {
  const jobs: string[] = []
  for (let made = 0; made < count; made++) {
    const job = await relay.queuedJob()
    await relay.claim(job)
    await relay.running(job)
    jobs.push(job)
  }
  return jobs
}

/** Each has its first frame, the state of its job, before the next ones dial. */
async function connect(open: (job: string) => RawStream, jobs: readonly string[], clients: number) {
  const streams: RawStream[] = []
  while (streams.length < clients) {
    const next = Array.from({ length: Math.min(DIALLING, clients - streams.length) }, (_, at) =>
      open(jobs[(streams.length + at) % jobs.length] ?? ''),
    )
    await eventually(() => next.every(({ frames }) => frames.length > 0), { deadlineMs: 30_000, what: 'they follow' })
    streams.push(...next)
  }
  return streams
}

/** Evenly, from a moment of its own on; each update says when it was handed over. */
async function talk(publisher: Publisher, count: number, perSecond: number): Promise<void> {
  const bounded = AbortSignal.timeout((count / perSecond) * 1000 + 30_000)
  const begun = performance.now() + (Math.random() * 1000) / perSecond
  for (let line = 1; line <= count; line++) {
    await pause(Math.max(0, begun + (line * 1000) / perSecond - performance.now()), bounded)
    publisher.offer([logUpdate(String(performance.now()))], { stdout: line, stderr: 0 })
  }
  await publisher.flush(bounded)
}

const seqsOf = ({ frames }: RawStream): unknown[] =>
  frames.filter((frame) => !isStateFrame(frame)).map((frame) => field(frame, 'seq'))

function hasAll(stream: RawStream, count: number): boolean {
  const seqs = seqsOf(stream)
  return seqs.length === count && seqs.every((seq, index) => seq === seqOf(1, index + 1)) && stream.code() === null
}

/** What a process weighs, looked at twice a second until it is asked for the most. */
function weigh(pid: number) {
  let most = 0
  const now = async (): Promise<number> => {
    const [, kib = '0'] = /^VmRSS:\s+(\d+) kB$/m.exec(await readFile(`/proc/${pid}/status`, 'utf8')) ?? []
    const mib = Math.round(Number(kib) / 1024)
    most = Math.max(most, mib)
    return mib
  }
  const timer = setInterval(() => void now().catch(() => clearInterval(timer)), 500)
  return {
    now,
    most(): number {
      clearInterval(timer)
      return most
    },
  }
}
