// Two control planes, one after the other: the first makes jobs and a backup, the second begins from that backup. Its
// agents speak HTTP only, and may say to the second what they were told by the first.
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createUser } from '@nats-io/nkeys'
import { backUp } from '../../control-plane/store/backup.ts'
import { restore } from '../../control-plane/store/restore.ts'
import { SESSION_HEADER, type HeldAttempt } from '../../shared/agent-protocol.ts'
import type { SubmitBody } from '../../shared/job-spec.ts'
import { startTestControlPlane, type Answer, type TestControlPlane } from './control-plane.ts'
import { eventually } from './eventually.ts'

export interface RestoredAgent {
  readonly id: string
  readonly pool: string
  /** The next beat, listing `held` as attempts of tenant `default`. */
  beat(held?: readonly Partial<HeldAttempt>[]): Promise<readonly Readonly<Record<string, unknown>>[]>
  claim(job: string, attempt: number): Promise<Answer>
  finish(job: string, attempt: number): Promise<Answer>
  /** Another process of it takes its place. */
  restart(): void
}

export interface RestoredPlane {
  readonly first: TestControlPlane
  join(name: string): Promise<RestoredAgent>
  submit(agent: RestoredAgent, body?: SubmitBody): Promise<string>
  /** Submits and claims attempt 1. */
  run(agent: RestoredAgent, body?: SubmitBody): Promise<string>
  backup(): Promise<void>
  /** From here on everything goes to a control plane that begins with the backup. */
  restore(): Promise<void>
  show(job: string): Promise<Record<string, unknown>>
  readonly call: TestControlPlane['call']
  close(): Promise<void>
}

export async function startRestoredPlane(env: Readonly<Record<string, string>> = {}): Promise<RestoredPlane> {
  const dir = await mkdtemp(join(tmpdir(), 'dray-restored-'))
  const first = await startTestControlPlane(env)
  const { adminKey: key } = first
  let plane = first
  const url = `file:${join(dir, 'restored.db')}`
  const show = async (job: string): Promise<Record<string, unknown>> =>
    (await plane.call('GET', `/v1/jobs/${job}`, { key })).body
  const submit: RestoredPlane['submit'] = async (agent, body = {}) =>
    String((await plane.call('POST', '/v1/jobs', { key, body: { image: 'x', pool: agent.pool, ...body } })).body['id'])
  return {
    first,
    show,
    call: (...call) => plane.call(...call),
    submit,
    join: (name) => joinAgent((...call) => plane.call(...call), key, name),
    async run(agent, body) {
      const id = await submit(agent, body)
      await eventually(async () => (await agent.beat()).some(({ job }) => job === id), { what: 'it is assigned' })
      const claimed = await agent.claim(id, 1)
      if (claimed.status !== 200) throw new Error(claimed.text)
      return id
    },
    backup: async () =>
      void (await backUp({ url: `file:${join(first.dir, 'dray.db')}`, file: join(dir, 'b'), force: false })),
    async restore() {
      await restore({ url, file: join(dir, 'b'), force: false })
      plane = await startTestControlPlane({ ...env, DRAY_DATABASE_URL: url })
    },
    async close() {
      await first.close()
      if (plane !== first) await plane.close()
      await rm(dir, { recursive: true, force: true })
    },
  }
}

async function joinAgent(call: TestControlPlane['call'], admin: string, name: string): Promise<RestoredAgent> {
  const token = (await call('POST', '/v1/join-tokens', { key: admin, body: {} })).body['token']
  let session = 'session-1'
  let beat = 0
  const headers = (): Record<string, string> => ({ [SESSION_HEADER]: session })
  const capacity = { cpus: 8, memory: 2 ** 34, gpus: [], defaults: { memory: 2 ** 31, cpus: 2 } }
  const body = { join_token: token, nkey: createUser().getPublicKey(), name, pool: name, protocol: 1, version: '1' }
  const joined = await call('POST', '/v1/agents', {
    key: '',
    body: { ...body, boot_id: 'boot', capacity, posture: { degraded: [] } },
    headers: headers(),
  })
  const key = String(joined.body['key'])
  const ask = (path: string, sent: unknown): Promise<Answer> =>
    call('POST', `/v1/agents/self${path}`, { key, body: sent, headers: headers() })
  const now = new Date().toISOString()
  const end = { exit: { code: 0, oom_killed: false, reason: 'exited' }, started_at: now, finished_at: now }
  const idle = { tenant: 'default', attempt: 1, phase: 'running', n: 0, stdout_lines: 0, stderr_lines: 0 }
  return {
    id: String(joined.body['agent']),
    pool: name,
    async beat(held = []) {
      beat += 1
      const attempts = held.map((one) => ({ ...idle, ...one }))
      const answer = await ask('/heartbeat', { beat, boot_id: 'boot', attempts })
      if (answer.status !== 200) throw new Error(answer.text)
      return answer.body['attempts'] as Record<string, unknown>[]
    },
    claim: (job, attempt) => ask(`/jobs/default/${job}/claim`, { attempt, beat }),
    finish: (job, attempt) =>
      ask(`/jobs/default/${job}/finish`, { ...end, attempt, image_digest: null, result: { out: [1] }, updates: 0 }),
    restart() {
      session = 'session-2'
      beat = 0
    },
  }
}
