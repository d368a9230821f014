// The clients that watch: each takes a job, follows it over a plain WebSocket, breaks off at random, comes back with its
// cursor to either control plane, and so on to the job's end. What it got is noted as it came, without any help of the
// client library, which would mend what is to be found here. One kind does not read at all.

import { WebSocket } from 'ws'
import { endSeq, isTerminalUpdate, type Frame } from '../../shared/update.ts'
import type { History } from './history.ts'
import { ENDS, type BookedJob, type JobBook } from './job-book.ts'
import { pause } from './load.ts'
import type { Seeded } from './seeded.ts'
import type { Stage } from './stage.ts'
import { storyRuns } from './story-runs.ts'
import type { TenantCalls } from './tenant-calls.ts'

export interface FollowerOptions {
  readonly stage: Stage
  readonly tenants: readonly [TenantCalls, TenantCalls]
  readonly book: JobBook
  readonly history: History
  readonly random: Seeded
  readonly over: AbortSignal
}

const FOLLOWERS = 14
/** A job that stays silent is left after this long. */
const PATIENCE_MS = 25_000
const LATEST = 40

export async function runFollowers(options: FollowerOptions): Promise<void> {
  const follower = async (index: number): Promise<void> => {
    const name = `client-${index}`
    const random = options.random.fork(name)
    for (let job = 0; !options.over.aborted; job += 1) {
      const calls = options.tenants[index % 2] ?? options.tenants[0]
      const chosen = choose(options.book.of(calls.tenant.name), random)
      // A cursor belongs to one reader of one job.
      if (chosen) await followJob(options, calls, chosen, `${name}.${job}`, random)
      await pause(random.between(50, 500), options.over)
    }
  }
  await Promise.all(Array.from({ length: FOLLOWERS }, (_, index) => follower(index)))
}

function choose(jobs: readonly BookedJob[], random: Seeded): BookedJob | null {
  if (jobs.length === 0) return null
  const live = jobs.slice(-LATEST).filter(({ status }) => !ENDS.has(status))
  return random.pick(live.length > 0 && random.chance(0.8) ? live : jobs)
}

async function followJob(
  options: FollowerOptions,
  calls: TenantCalls,
  job: BookedJob,
  client: string,
  random: Seeded,
): Promise<void> {
  const { history, over } = options
  const until = Date.now() + PATIENCE_MS
  let cursor = 0
  while (!over.aborted && Date.now() < until) {
    history.note({ op: 'open', client, tenant: calls.tenant.name, job: job.id, after: cursor })
    const limit = random.chance(0.5) ? random.int(100, 2_500) : PATIENCE_MS
    const url = random.pick(options.stage.controlPlanes).url.replace('http', 'ws')
    const read = await readStream({ url: `${url}/v1/jobs/${job.id}/stream?after=${cursor}`, calls, job, limit, over })
    history.note({ op: 'story', client, job: job.id, runs: storyRuns(read.frames, job.plan) })
    history.note({ op: 'close', client, job: job.id, code: read.code })
    cursor = read.cursor ?? cursor
    const end = read.frames.find(isTerminalUpdate)
    if (end) {
      job.status = end.status
      return
    }
    if (read.code === 1000) return
    await pause(random.between(20, 400), over)
  }
}

interface Read {
  readonly frames: Frame[]
  readonly cursor: number | null
  /** 0: we broke off. */
  readonly code: number
}

function readStream(options: {
  url: string
  calls: TenantCalls
  job: BookedJob
  limit: number
  over: AbortSignal
}): Promise<Read> {
  const { calls, over } = options
  const socket = new WebSocket(options.url, ['dray.v1', `bearer.${calls.tenant.key}`], { handshakeTimeout: 8_000 })
  const frames: Frame[] = []
  let broken = false
  const breakOff = (): void => {
    broken = true
    socket.terminate()
  }
  const timer = setTimeout(breakOff, options.limit)
  over.addEventListener('abort', breakOff, { once: true })
  return new Promise((resolve) => {
    socket.on('error', () => undefined)
    socket.on('message', (data: Buffer) => {
      // What comes after we broke off was never taken.
      if (broken) return
      const text = data.toString()
      calls.inspect(text, `stream of ${options.job.id}`)
      const message = JSON.parse(text) as Frame | Frame[]
      for (const frame of Array.isArray(message) ? message : [message]) frames.push(frame)
    })
    socket.on('close', (code: number) => {
      clearTimeout(timer)
      over.removeEventListener('abort', breakOff)
      const seqs = frames.map(endSeq).filter((seq) => seq !== undefined)
      resolve({ frames, cursor: seqs.at(-1) ?? null, code: broken ? 0 : code })
    })
  })
}

const LAST_LOOK_MS = 500

/** Opens streams, does not read them for a while, and then looks at how they were closed meanwhile, if they were. */
export async function watchWithoutReading(
  { stage, tenants, history, random, over }: FollowerOptions,
  jobs: readonly BookedJob[],
  ms: number,
): Promise<void> {
  const sockets = jobs.map((job) => {
    const calls = tenants.find(({ tenant }) => tenant.name === job.plan.tenant) ?? tenants[0]
    const url = `${random.pick(stage.controlPlanes).url.replace('http', 'ws')}/v1/jobs/${job.id}/stream?after=0`
    const socket = new WebSocket(url, ['dray.v1', `bearer.${calls.tenant.key}`])
    return socket
      .on('error', () => undefined)
      .on('open', () => socket.pause())
      .on('close', (code: number) => history.note({ op: 'close', client: 'slow', job: job.id, code }))
  })
  await pause(ms, over)
  for (const socket of sockets) if (socket.readyState === WebSocket.OPEN) socket.resume()
  await pause(LAST_LOOK_MS, over)
  for (const socket of sockets) socket.terminate()
}
