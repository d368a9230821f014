// The store over HTTP: the contract, and what only a server can show.
import { DatabaseSync } from 'node:sqlite'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import type { JobStore } from '../../control-plane/core/ports.ts'
import { createLibsqlStore } from '../../control-plane/store/libsql-store.ts'
import { openLibsqlFolder } from '../support/libsql-folder.ts'
import { startLibsqlServer, type LibsqlServer } from '../support/libsql-server.ts'
import { jobStoreContract } from './job-store.contract.ts'
import { assigned, beat, changeOf, claimed, held, liveAgent, move, newJob, read, submit } from './job-store.fixtures.ts'

const log = { info: () => undefined, warn: () => undefined, error: () => undefined }
const PATIENT_MS = 2_000

async function makeServer() {
  const database = await openLibsqlFolder()
  const store = await createLibsqlStore({ url: database.server.url, log })
  return { ...database, store }
}

jobStoreContract(async () => {
  const { path, store, remove } = await makeServer()
  const door = new DatabaseSync(path, { timeout: PATIENT_MS })
  return {
    store,
    execute: async (sql) => door.exec(sql),
    end: async () => {
      door.close()
      await store.close()
      await remove()
    },
  }
})

describe('a database server', () => {
  let made: Awaited<ReturnType<typeof makeServer>>
  let server: LibsqlServer
  let store: JobStore

  beforeEach(async () => {
    made = await makeServer()
    ;({ server, store } = made)
  })
  afterEach(async () => {
    await store.close()
    await server.stop()
    await made.remove()
  })

  it('says unavailable while the server is away, and goes on when it is back', async () => {
    const { state } = await submit(store)
    const port = Number(new URL(server.url).port)
    await server.stop()
    for (const call of [() => store.createJob(newJob()), () => read(store, state), () => store.ping()])
      await expect(call()).rejects.toMatchObject({ code: 'unavailable' })
    server = await startLibsqlServer(made.path, port)
    expect((await read(store, state)).state).toEqual(state)
    await submit(store)
  })

  it('takes one round trip for each call', async () => {
    const agent = await liveAgent(store)
    const { state } = await submit(store)
    const trips = async (call: () => Promise<unknown>): Promise<number> => {
      const before = server.requestCount()
      await call()
      return server.requestCount() - before
    }
    expect(
      await trips(() => store.createJob(newJob({ labels: { a: 'b' } }, { idempotency: { key: 'k', bodyHash: 'h' } }))),
    ).toBe(1)
    const placed = await move(store, state, assigned(state, agent))
    const claim = changeOf(placed.state, claimed(placed.state, agent), {
      attempt: { attempt: 1 },
      guard: { kind: 'session', agent, session: 's1' },
    })
    expect(await trips(() => store.commit(claim))).toBe(1)
    expect(await trips(() => read(store, state))).toBe(1)
    expect(await trips(() => beat(store, agent, 2, [held(claim.after)]))).toBe(1)
    expect(await trips(() => store.beginSweep({ termMs: 1_000, limit: 10 }))).toBe(1)
    const view = await store.readScheduleView(10)
    const plan = view.queued.map((one) => changeOf(one.state, assigned(one.state, agent)))
    expect(plan).toHaveLength(1)
    expect(await trips(() => store.commitPlan(view.schedulerRev, plan))).toBe(1)
  })
})
