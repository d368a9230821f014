// How much later the first byte of a job comes than the first byte of a bare container: floor, `docker run` and ours in
// turn, in one run, on one engine, with the same container options.
//
// Ours: from the HTTP submit to the first output update at a WebSocket client. The last line printed is
// {"floor_ms","ours_ms","overhead_ms","docker_run_ratio"}; overhead is ours minus the floor, sample by sample.
import { spawn } from 'node:child_process'
import path from 'node:path'
import { startStack } from '../../cli/supervise/stack.ts'
import { readPublished } from '../../cli/supervise/state-folder.ts'
import { tryCommand } from '../../deploy/engine-process.ts'
import { ensureImages } from '../../deploy/image.ts'
import { defaultStateDir } from '../../deploy/tools.ts'
import { createEngine, type Engine } from '../../runner-agent/engine/engine-client.ts'
import { createClient, type Client } from '../../shared/client/create-client.ts'
import { planContainer, type ContainerOptions } from '../../shared/container-options.ts'
import { submitBodySchema, type SubmitBody } from '../../shared/job-spec.ts'
import { timeBareStart } from './bare-engine.ts'
import { quantilesOf } from './quantiles.ts'

const WARM_UPS = 3
const DEFAULTS = { memory: 2 * 2 ** 30, cpus: 2 }

export async function startBench({ json, samples }: { json: boolean; samples: number }): Promise<void> {
  const stateDir = path.join(defaultStateDir(process.env), 'bench')
  const say = (text: string): void => void process.stderr.write(`${text}\n`)
  const never = new AbortController().signal
  const stack = await startStack({
    stateDir,
    port: 0,
    host: '127.0.0.1',
    env: process.env,
    signal: never,
    force: never,
    onNotice: say,
  })
  try {
    const socketPath = readPublished(stateDir)?.engineSocket
    if (!socketPath) throw new Error('The stack did not say which engine it uses.')
    const images = await ensureImages({ socketPath, stateDir })
    const body: SubmitBody = {
      image: images.busybox.image,
      command: ['echo', 'up'],
      resources: { memory: '64m', cpus: 1 },
      network: 'none',
      parse_updates: false,
    }
    const parts = {
      engine: createEngine({ socketPath }),
      client: createClient(stack),
      body,
      image: images.busybox.image,
      socketPath,
    }
    report(await measure(parts, samples, say), json, say)
  } finally {
    await stack.stop()
  }
}

interface Parts {
  readonly engine: Engine
  readonly client: Client
  readonly body: SubmitBody
  readonly image: string
  readonly socketPath: string
}

/** Where one job's time went. */
interface Way {
  readonly firstByteMs: number
  /** Submit, plan, claim: until the agent begins with the container. */
  readonly beforeMs: number
  /** What the engine took until the agent had the first byte. */
  readonly engineMs: number
  /** Through NATS and the relay to the client. */
  readonly afterMs: number
}

interface Samples {
  readonly floorMs: number[]
  readonly ours: Way[]
  readonly dockerRunMs: number[]
}

async function measure(
  { engine, client, body, image, socketPath }: Parts,
  samples: number,
  say: (text: string) => void,
): Promise<Samples> {
  const options = sameOptions(body)
  const hasDocker = (await tryCommand('docker', ['--version'])) !== undefined
  const taken: Samples = { floorMs: [], ours: [], dockerRunMs: [] }
  for (let index = -WARM_UPS; index < samples; index++) {
    const floorMs = await timeBareStart(engine, `dray-bench-${process.pid}-${index + WARM_UPS}`, options)
    const ours = await timeOurs(client, body)
    const dockerRunMs = hasDocker ? await timeDockerRun(socketPath, image) : Number.NaN
    if (index < 0) continue
    taken.floorMs.push(floorMs)
    taken.ours.push(ours)
    taken.dockerRunMs.push(dockerRunMs)
    if ((index + 1) % 10 === 0) say(`${index + 1} of ${samples} samples`)
  }
  return taken
}

/** The create body that the agent would send for this job. */
function sameOptions(body: SubmitBody): ContainerOptions {
  const spec = submitBodySchema.parse(body)
  const limits = { output_bytes: 256 * 2 ** 20, line_bytes: 8 * 2 ** 20 }
  const resume = { n: 0, stdout_lines: 0, stderr_lines: 0, subject_seq: 0, session: null }
  const grant = {
    spec,
    env: {},
    secrets: {},
    limits,
    gpus: [],
    lost_after_seconds: 600,
    cancel_requested: false,
    resume,
  }
  const policy = {
    defaults: DEFAULTS,
    image: '',
    command: [],
    internetNetwork: 'bridge',
    settings: {},
    gpuSettings: {},
    maxOpenFiles: 20_000,
    hideGpus: false,
  }
  return planContainer(grant, policy, {
    agentId: 'bench',
    bootId: 'bench',
    imageId: '',
    updates: 0,
    key: { tenant: 'bench', job: 'bench', attempt: 1 },
  }).options
}

async function timeOurs(client: Client, body: SubmitBody): Promise<Way> {
  const startedMs = performance.now()
  const startedAtMs = performance.timeOrigin + startedMs
  const { id } = await client.submit(body)
  let way: Way | undefined
  let beforeMs = Number.NaN
  for await (const frame of client.updates(id)) {
    if (!('at' in frame) || way) continue
    // One machine, one clock: `at` is when the agent had it.
    const sinceMs = Date.parse(String(frame.at)) - startedAtMs
    if (frame.type === 'job_update' && 'phase' in frame && frame.phase === 'creating') beforeMs = sinceMs
    if (frame.type !== 'log_update') continue
    const firstByteMs = performance.now() - startedMs
    way = { firstByteMs, beforeMs, engineMs: sinceMs - beforeMs, afterMs: firstByteMs - sinceMs }
  }
  if (!way) throw new Error(`Job ${id} printed nothing: ${JSON.stringify((await client.show(id)).error)}`)
  return way
}

function timeDockerRun(socketPath: string, image: string): Promise<number> {
  const startedMs = performance.now()
  const args = ['-H', `unix://${socketPath}`, 'run', '--rm', '--network', 'none', image, 'echo', 'up']
  const child = spawn('docker', args, { stdio: ['ignore', 'pipe', 'inherit'] })
  let tookMs = Number.NaN
  child.stdout.once('data', () => (tookMs = performance.now() - startedMs))
  return new Promise((resolve, reject) => {
    child.once('error', reject)
    child.once('close', () => resolve(tookMs))
  })
}

function report({ floorMs, ours: ways, dockerRunMs }: Samples, json: boolean, say: (text: string) => void): void {
  const oursMs = ways.map(({ firstByteMs }) => firstByteMs)
  const overheadMs = oursMs.map((ours, index) => ours - (floorMs[index] ?? Number.NaN))
  const [floor, ours, overhead, dockerRun] = [floorMs, oursMs, overheadMs, dockerRunMs].map(quantilesOf)
  if (!floor || !ours || !overhead || !dockerRun) return
  say(
    `floor ${floor.p50} / ${floor.p99} ms, ours ${ours.p50} / ${ours.p99} ms, overhead ${overhead.p50} / ${overhead.p99} ms (p50 / p99)`,
  )
  const part = (pick: (way: Way) => number): string => `${quantilesOf(ways.map(pick)).p50} ms`
  say(
    `ours p50: ${part((way) => way.beforeMs)} until the container is begun, ${part((way) => way.engineMs)} in the engine, ` +
      `${part((way) => way.afterMs)} to the client`,
  )
  say(`docker run ${dockerRun.p50} / ${dockerRun.p99} ms`)
  const ratio = Math.round((ours.p50 / dockerRun.p50) * 1000) / 1000
  if (json)
    process.stdout.write(
      `${JSON.stringify({ floor_ms: floor, ours_ms: ours, overhead_ms: overhead, docker_run_ratio: Number.isNaN(ratio) ? null : ratio })}\n`,
    )
}
