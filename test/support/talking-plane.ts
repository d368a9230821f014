// A control plane with a real NATS, and an agent whose updates a test can store one by one: what streams are made of.

import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { jwtAuthenticator } from '@nats-io/nats-core'
import { connect } from '@nats-io/transport-node'
import { updateSubject } from '../../shared/subjects.ts'
import { startAttempt, type RunningAttempt } from './agent-life.ts'
import { startTestControlPlane, type TestControlPlane } from './control-plane.ts'
import { eventually } from './eventually.ts'
import { startNats } from './nats-server.ts'

export interface TalkingPlane extends TestControlPlane {
  start(): Promise<RunningAttempt>
  /** Stores updates from..to of attempt 1; each carries `fill` bytes. */
  say(job: string, from: number, to: number, fill?: number): Promise<void>
  /** A job that said `count` updates and completed. */
  finished(count: number): Promise<string>
  relayClients(): Promise<number>
}

export async function startTalkingPlane(): Promise<TalkingPlane> {
  const dir = await mkdtemp(join(tmpdir(), 'dray-talking-'))
  const nats = await startNats()
  const identityFile = join(dir, 'identity.json')
  await writeFile(identityFile, JSON.stringify(nats.identity), { mode: 0o600 })
  const plane = await startTestControlPlane({
    DRAY_NATS_URLS: nats.url,
    DRAY_NATS_IDENTITY_FILE: identityFile,
    DRAY_UPDATES_MAX_BYTES: '128m',
  })
  const { jwt, seed } = nats.identity.controlPlaneUser
  const publisher = await connect({
    servers: nats.url,
    authenticator: jwtAuthenticator(jwt, new TextEncoder().encode(seed)),
  })
  const isReady = async (): Promise<boolean> => (await plane.call('GET', '/readyz')).status === 200
  await eventually(isReady, { what: 'the control plane is ready' })
  const agent = await plane.joinAgent('talker')

  const say: TalkingPlane['say'] = async (job, from, to, fill = 10) => {
    const subject = updateSubject(agent.id, { tenant: 'default', job, attempt: 1 })
    for (let n = from; n <= to; n += 1) {
      const update = { type: 'log_update', job_id: job, at: new Date().toISOString(), content: 'x'.repeat(fill) }
      const batch = { session: 'session-1', n, updates: [update], stdout_lines: n, stderr_lines: 0 }
      const stored = await publisher.request(subject, JSON.stringify(batch), { timeout: 5_000 })
      const { error } = stored.json<{ error?: unknown }>()
      if (error) throw new Error(JSON.stringify(error))
    }
  }
  const start = (): Promise<RunningAttempt> => startAttempt(plane, agent)
  return {
    ...plane,
    start,
    say,
    async finished(count) {
      const attempt = await start()
      await say(attempt.id, 1, count)
      await attempt.finish(count)
      return attempt.id
    },
    async relayClients() {
      const { text } = await plane.call('GET', '/metrics')
      return Number(/^dray_relay_clients (\d+)$/m.exec(text)?.[1])
    },
    async close() {
      await publisher.close()
      await plane.close()
      await nats[Symbol.asyncDispose]()
      await rm(dir, { recursive: true, force: true })
    },
  }
}
