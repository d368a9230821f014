// A control plane whose database address is a replica that is behind (it stands still unless told otherwise): nothing that
// decides is answered by it. What is only looked at may be: lists and metrics.
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { WebSocket } from 'ws'
import type { JobStore } from '../../control-plane/core/ports.ts'
import type { Db } from '../../control-plane/store/db.ts'
import { createJobStore } from '../../control-plane/store/job-store.ts'
import { SERVED_BY_REPLICAS } from '../sim/store-replica.ts'
import { startTestControlPlane, type TestAgent, type TestControlPlane } from '../support/control-plane.ts'
import { eventually } from '../support/eventually.ts'
import { openLibsqlFolder, type LibsqlFolder } from '../support/libsql-folder.ts'
import { startLibsqlReplica, type LibsqlReplica } from '../support/libsql-replica.ts'

let database: LibsqlFolder
let replica: LibsqlReplica
let plane: TestControlPlane
let agent: TestAgent
let beat = 0

beforeAll(async () => {
  database = await openLibsqlFolder()
  const { server: primary, path, folder } = database
  replica = await startLibsqlReplica({ primary, path, folder })
  plane = await startTestControlPlane({ DRAY_DATABASE_URL: replica.url })
  agent = await plane.joinAgent('beside-replica')
})
afterAll(async () => {
  await plane.close()
  await replica.stop()
  await database.remove()
})

async function submit(): Promise<string> {
  const body = { image: 'x', pool: agent.pool, resources: { memory: '16m', cpus: 0.1 } }
  const { status, body: job } = await plane.call('POST', '/v1/jobs', { body })
  expect(status).toBe(201)
  return String(job['id'])
}

const listed = async (): Promise<unknown[]> => {
  const { body } = await plane.call('GET', '/v1/jobs')
  return (body['items'] as { id: string }[]).map(({ id }) => id)
}

describe('with a replica that stands still', () => {
  it('a job is shown and followed right after its 201', async () => {
    const id = await submit()
    expect((await plane.call('GET', `/v1/jobs/${id}`)).body).toMatchObject({
      id,
      transitions: [{ event: 'submitted' }],
    })
    const socket = new WebSocket(`${plane.url.replace('http', 'ws')}/v1/jobs/${id}/stream`, {
      headers: { authorization: `Bearer ${plane.adminKey}` },
    })
    const first = await new Promise((resolve, reject) => {
      socket.on('message', (data) => resolve(JSON.parse((data as Buffer).toString())))
      socket.on('close', (code) => reject(new Error(`closed with ${code}`)))
    })
    expect([first].flat()[0]).toMatchObject({ type: 'job_update', status: 'starting' })
    socket.terminate()
  })

  it('a job is claimed, finished, and shown as ended', async () => {
    const id = await submit()
    const heartbeat = () => agent.call('/heartbeat', { beat: (beat += 1), boot_id: 'boot', attempts: [] })
    await eventually(async () => {
      const wanted = (await heartbeat()).body['attempts'] as { job: string }[]
      return wanted.some(({ job }) => job === id)
    })
    expect((await agent.call(`/jobs/default/${id}/claim`, { attempt: 1, beat })).status).toBe(200)
    const now = new Date().toISOString()
    const exit = { code: 0, oom_killed: false, reason: 'exited' }
    const end = { attempt: 1, exit, started_at: now, finished_at: now, image_digest: null, updates: 0 }
    expect((await agent.call(`/jobs/default/${id}/finish`, end)).status).toBe(200)
    expect((await plane.call('GET', `/v1/jobs/${id}`)).body).toMatchObject({ status: 'completed', attempt: 1 })
  })

  it('a new key is valid at once, and one that was deleted is not', async () => {
    const { body } = await plane.call('POST', '/v1/keys', { body: { tenant: 'new' } })
    const key = String(body['token'])
    expect((await plane.call('GET', '/v1/jobs', { key })).status).toBe(200)
    expect((await plane.call('DELETE', `/v1/keys/${String(body['id'])}`)).status).toBe(204)
    expect((await plane.call('GET', '/v1/jobs', { key })).status).toBe(401)
  })

  it('lists are the replica’s, and right when it has caught up', async () => {
    const id = await submit()
    const before = replica.ownAnswers()
    expect(await listed()).not.toContain(id)
    expect(replica.ownAnswers()).toBe(before + 1)
    await replica.catchUp()
    expect(await listed()).toContain(id)
  })
})

describe('of the calls of the store', () => {
  it('a replica answers those that the simulation leaves to it, and no others', async () => {
    const served: string[] = []
    for (const [name, call] of Object.entries(CALLS)) {
      const asked: string[] = []
      const note = (how: string) => () => {
        asked.push(how)
        return Promise.resolve([])
      }
      const db: Db = {
        read: note('read'),
        glance: note('glance'),
        write: note('write'),
        close: () => Promise.resolve(),
      }
      // Nothing but the question is looked at: there is no row to answer it.
      await call(createJobStore(db)).catch(() => undefined)
      expect(asked, name).toHaveLength(1)
      if (asked.includes('glance')) served.push(name)
    }
    expect(served.toSorted()).toEqual(SERVED_BY_REPLICAS.toSorted())
  })
})

const KEY = { tenant: 't', job: 'j' }

/** All that only read. */
const CALLS: Partial<Record<keyof JobStore, (store: JobStore) => Promise<unknown>>> = {
  readJob: (store) => store.readJob(KEY),
  readTransitions: (store) => store.readTransitions(KEY),
  listJobs: (store) => store.listJobs({ tenant: 't', statuses: [], label: null, pool: null, limit: 1, cursor: null }),
  queuePosition: (store) => store.queuePosition({ state: { tenant: 't', id: 'j' } } as never),
  readScheduleView: (store) => store.readScheduleView(1),
  agentAndJob: (store) => store.agentAndJob('hash', KEY),
  readAgent: (store) => store.readAgent('a'),
  listAgents: (store) => store.listAgents({ limit: 1, cursor: null }),
  jobsOnAgent: (store) => store.jobsOnAgent('a'),
  keyByHash: (store) => store.keyByHash('hash'),
  listKeys: (store) => store.listKeys(null),
  hasKeys: (store) => store.hasKeys(),
  metrics: (store) => store.metrics(),
  ping: (store) => store.ping(),
}
