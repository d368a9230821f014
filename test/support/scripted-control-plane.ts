// A control plane that does what a test says: for faults that the real one cannot be made to show on demand. It speaks
// the agent's calls over real HTTP and a real nats-server; its state is a map of attempts.
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { createNatsBus } from '../../control-plane/bus/nats-bus.ts'
import type { Bus } from '../../control-plane/core/bus-port.ts'
import type { FinishBody, Grant, HeartbeatBody, HeldAttempt, WantedAttempt } from '../../shared/agent-protocol.ts'
import { newId } from '../../shared/ids.ts'
import { submitBodySchema, type SubmitBody } from '../../shared/job-spec.ts'
import type { AttemptKey } from '../../shared/subjects.ts'
import type { TestNats } from './nats-server.ts'

export interface ScriptedJob {
  readonly key: AttemptKey
  /** Without `resume` it says what NATS says. */
  readonly grant: Omit<Grant, 'resume'> & { readonly resume?: Grant['resume'] | undefined }
  claims: number
  finish: FinishBody | null
  want: WantedAttempt['want'] | 'nothing'
  graceSeconds: number | undefined
}

export interface ScriptedControlPlane {
  readonly url: string
  /** The one agent that may join. Several files share an engine, and an agent adopts what is its own. */
  readonly agentId: string
  readonly bus: Bus
  readonly jobs: Map<string, ScriptedJob>
  /** Heartbeats so far, the last one at the end. */
  readonly beats: HeartbeatBody[]
  readonly held: () => readonly HeldAttempt[]
  /** Answers 503 to these paths. */
  readonly away: Set<'heartbeat' | 'claim' | 'finish'>
  superseded: boolean
  left: boolean
  submit(
    job: string,
    body: SubmitBody,
    more?: { attempt?: number; grant?: Partial<Grant>; wake?: boolean },
  ): ScriptedJob
  /** Everything stored of an attempt up to n, in order, with its n. */
  updates(job: string, upToN: number, attempt?: number): Promise<Record<string, unknown>[]>
  [Symbol.asyncDispose](): Promise<void>
}

const LIMITS = { output_bytes: 256 * 2 ** 20, line_bytes: 8 * 2 ** 20 }
const silent = { info: () => undefined, warn: () => undefined, error: () => undefined }

export async function startScriptedControlPlane(nats: TestNats): Promise<ScriptedControlPlane> {
  const bus = await createNatsBus({
    urls: [nats.url],
    identity: nats.identity,
    log: silent,
    stream: { maxBytes: 256 << 20, maxAgeSeconds: 3_600 },
  })
  const server = createServer((request, response) => {
    void answer(scripted, request, response)
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const scripted: ScriptedControlPlane = {
    agentId: newId('agt'),
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    bus,
    jobs: new Map(),
    beats: [],
    held: () => scripted.beats.at(-1)?.attempts ?? [],
    away: new Set(),
    superseded: false,
    left: false,
    submit(job, body, { attempt = 1, grant = {}, wake = true } = {}) {
      const key = { tenant: 'default', job, attempt }
      const made: ScriptedJob = {
        key,
        grant: {
          spec: submitBodySchema.parse(body),
          env: {},
          secrets: {},
          limits: LIMITS,
          gpus: [],
          lost_after_seconds: 600,
          cancel_requested: false,
          ...grant,
        },
        claims: 0,
        finish: null,
        want: 'run',
        graceSeconds: undefined,
      }
      scripted.jobs.set(job, made)
      if (wake) bus.publishRun(scripted.agentId, { ...key, image: body.image ?? null })
      return made
    },
    async updates(job, upToN, attempt = 1) {
      const found: Record<string, unknown>[] = []
      const stop = AbortSignal.timeout(10_000)
      let text = ''
      for await (const { batch } of bus.readBatches(scripted.agentId, { tenant: 'default', job, attempt }, 1, stop)) {
        if (batch.part) {
          text = batch.part.k === 1 ? batch.part.text : text + batch.part.text
          if (batch.part.k === batch.part.m) found.push({ ...(JSON.parse(text) as object), n: batch.n })
        }
        batch.updates.forEach((update, index) => found.push({ ...update, n: batch.n + index }))
        if ((found.at(-1)?.['n'] as number) >= upToN) break
      }
      return found
    },
    async [Symbol.asyncDispose]() {
      server.closeAllConnections()
      await new Promise((resolve) => server.close(resolve))
      await bus.close()
    },
  }
  return scripted
}

async function answer(
  scripted: ScriptedControlPlane,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const body = await bodyOf(request)
  const [status, value] = await handle(scripted, request.url ?? '', body).catch(
    (error: unknown) => [503, { code: 'unavailable', detail: String(error) }] as const,
  )
  response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(value))
}

type Reply = readonly [number, unknown]

async function handle(scripted: ScriptedControlPlane, path: string, body: unknown): Promise<Reply> {
  if (path === '/v1/agents') {
    const { nkey } = body as { nkey: string }
    const jwt = await scripted.bus.mintAgentJwt(scripted.agentId, nkey, 3600)
    return [
      201,
      { agent: scripted.agentId, key: 'agent_key', nats: { urls: scripted.bus.agentUrls(), jwt }, lease_seconds: 6 },
    ]
  }
  const verb = path.split('/').at(-1)
  if (scripted.away.has(verb as 'claim')) return [503, { code: 'unavailable', detail: 'scripted' }]
  if (verb === 'heartbeat') return heartbeat(scripted, body as HeartbeatBody)
  if (verb === 'leave') {
    scripted.left = true
    return [200, {}]
  }
  const job = scripted.jobs.get(path.split('/').at(-2) ?? '')
  if (!job || (body as { attempt: number }).attempt !== job.key.attempt)
    return [409, { code: 'fenced', detail: 'no such attempt' }]
  if (verb === 'claim') return claim(scripted, job)
  if (job.want === 'stop') return [409, { code: 'fenced', detail: 'stopped' }]
  job.finish = body as FinishBody
  job.want = 'nothing'
  return [200, {}]
}

function heartbeat(scripted: ScriptedControlPlane, body: HeartbeatBody): Reply {
  if (scripted.superseded) return [409, { code: 'superseded', detail: 'scripted' }]
  scripted.beats.push(body)
  const attempts = [...scripted.jobs.values()]
    .filter(({ want }) => want !== 'nothing')
    .map(({ key, want, grant, graceSeconds }) => ({
      ...key,
      image: grant.spec.image,
      want,
      grace_seconds: graceSeconds,
    }))
  return [200, { lease_seconds: 6, next_beat_seconds: 0.2, cordoned: false, draining: false, attempts }]
}

async function claim(scripted: ScriptedControlPlane, job: ScriptedJob): Promise<Reply> {
  job.claims += 1
  if (job.want === 'stop') return [409, { code: 'fenced', detail: 'stopped' }]
  return [200, { ...job.grant, resume: job.grant.resume ?? (await scripted.bus.readResume(scripted.agentId, job.key)) }]
}

async function bodyOf(request: IncomingMessage): Promise<unknown> {
  const chunks: Buffer[] = []
  for await (const chunk of request) chunks.push(chunk as Buffer)
  return JSON.parse(Buffer.concat(chunks).toString('utf8') || '{}')
}
