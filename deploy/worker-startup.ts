// The CPU time that a bundle takes to start: Cloudflare refuses a worker that needs more than its limit. Measured with the
// workerd of this machine, which is not theirs: the processor time of a process that serves our bundle and has answered
// once, less that of one that serves an empty worker.

import { spawn } from 'node:child_process'
import { createRequire } from 'node:module'
import { readdirSync, readFileSync } from 'node:fs'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { freePort } from './free-port.ts'

const TRIES = 5
const ANSWER_WITHIN_MS = 20_000
const EMPTY = 'export default { fetch: () => new Response() }\nexport class JobRelay {}\n'

/** The median of five starts, in milliseconds; null where the kernel does not tell the time of threads (not Linux). */
export async function startupCpuMs(code: string): Promise<number | null> {
  if (process.platform !== 'linux') return null
  const tries: number[] = []
  for (let time = 0; time < TRIES; time += 1) tries.push((await cpuMsOf(code)) - (await cpuMsOf(EMPTY)))
  return tries.toSorted((a, b) => a - b)[Math.floor(TRIES / 2)] ?? null
}

export function workerdProgram(): string {
  const { platform, arch } = process
  const name = `@cloudflare/workerd-${platform}-${arch === 'x64' ? '64' : arch}`
  const wrangler = createRequire(createRequire(import.meta.url).resolve('wrangler/package.json'))
  const workerd = createRequire(wrangler.resolve('workerd/package.json'))
  return workerd.resolve(`${name}/bin/workerd`)
}

async function cpuMsOf(code: string): Promise<number> {
  const folder = await mkdtemp(join(tmpdir(), 'dray-start-'))
  const port = await freePort()
  await writeFile(join(folder, 'worker.js'), code)
  await writeFile(join(folder, 'start.capnp'), config(port))
  const child = spawn(workerdProgram(), ['serve', '--experimental', join(folder, 'start.capnp')], { stdio: 'ignore' })
  const closed = new Promise<void>((resolve) => child.once('close', () => resolve()).once('error', () => resolve()))
  try {
    await untilAnswered(port)
    return cpuNanoseconds(child.pid ?? 0) / 1e6
  } finally {
    child.kill('SIGKILL')
    await closed
    await rm(folder, { recursive: true, force: true })
  }
}

/** Whatever it answers: without its settings it has none but an error, and has started all the same. */
async function untilAnswered(port: number): Promise<void> {
  const end = performance.now() + ANSWER_WITHIN_MS
  while (performance.now() < end) {
    try {
      await (await fetch(`http://127.0.0.1:${port}/healthz`, { signal: AbortSignal.timeout(ANSWER_WITHIN_MS) })).text()
      return
    } catch {
      // It does not listen yet.
      await sleep(20)
    }
  }
  throw new Error('Cannot measure how long the bundle takes to start: workerd does not answer with it.')
}

/** Of all threads together, as the scheduler counted it. */
function cpuNanoseconds(pid: number): number {
  const threads = readdirSync(`/proc/${pid}/task`)
  const times = threads.map((thread) =>
    Number(readFileSync(`/proc/${pid}/task/${thread}/schedstat`, 'utf8').split(' ')[0]),
  )
  return times.reduce((sum, time) => sum + time, 0)
}

const config = (port: number): string => `using Workerd = import "/workerd/workerd.capnp";
const config :Workerd.Config = (
  services = [(name = "worker", worker = .worker)],
  sockets = [(name = "http", address = "127.0.0.1:${port}", http = (), service = "worker")],
);
const worker :Workerd.Worker = (
  modules = [(name = "worker", esModule = embed "worker.js")],
  compatibilityDate = "2026-10-01",
  compatibilityFlags = ["nodejs_compat"],
  bindings = [(name = "RELAY", durableObjectNamespace = "JobRelay")],
  durableObjectNamespaces = [(className = "JobRelay", uniqueKey = "start")],
  durableObjectStorage = (inMemory = void),
);
`
