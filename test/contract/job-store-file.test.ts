// The store on a file: the contract, and what only a file can show.
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createClient, type Client } from '@libsql/client'
import { getTableConfig, type SQLiteTable } from 'drizzle-orm/sqlite-core'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import type { JobStore } from '../../control-plane/core/ports.ts'
import { createLibsqlStore } from '../../control-plane/store/libsql-store.ts'
import { migrate } from '../../control-plane/store/migrate.ts'
import * as schema from '../../control-plane/store/schema.ts'
import { jobStoreContract } from './job-store.contract.ts'
import { changeOf, assigned, liveAgent, newJob, read, runOn, submit } from './job-store.fixtures.ts'

const log = { info: () => undefined, warn: () => undefined, error: () => undefined }
const PATIENT_MS = 2_000

function makeFolder() {
  const folder = mkdtempSync(join(tmpdir(), 'dray-store-'))
  const url = `file:${join(folder, 'dray.db')}`
  return {
    folder,
    url,
    open: () => createLibsqlStore({ url, log }),
    sideDoor: () => createClient({ url, concurrency: 1, timeout: PATIENT_MS }),
    remove: () => rmSync(folder, { recursive: true, force: true }),
  }
}

jobStoreContract(async () => {
  const made = makeFolder()
  const store = await made.open()
  const door = made.sideDoor()
  return {
    store,
    execute: async (sql) => {
      await door.execute(sql)
    },
    end: async () => {
      door.close()
      await store.close()
      made.remove()
    },
  }
})

describe('a database file', () => {
  let made: ReturnType<typeof makeFolder>
  let door: Client
  let store: JobStore

  beforeEach(async () => {
    made = makeFolder()
    store = await made.open()
    door = made.sideDoor()
  })
  afterEach(async () => {
    door.close()
    await store.close()
    made.remove()
  })

  it('keeps everything when it is opened again', async () => {
    const agent = await liveAgent(store)
    const { state } = await runOn(store, agent, { labels: { a: 'b' } })
    const before = await read(store, state)
    await store.close()
    store = await made.open()
    expect(await read(store, state)).toEqual({ ...before, leaseLeftMs: expect.any(Number) })
    expect(await store.readAgent(agent)).toMatchObject({ session: 's1', beat: 1 })
  })

  it('syncs each commit and writes ahead', async () => {
    const [mode, sync] = await Promise.all([door.execute('PRAGMA journal_mode'), door.execute('PRAGMA synchronous')])
    expect([mode.rows[0]?.['journal_mode'], sync.rows[0]?.['synchronous']]).toEqual(['wal', 2])
  })

  it('waits while another connection holds the lock, reads meanwhile, and then succeeds', async () => {
    const { state } = await submit(store)
    const lock = await door.transaction('write')
    const held = performance.now()
    const created = store.createJob(newJob())
    const won = store.commit(changeOf(state, assigned(state, 'a')))
    let reads = 0
    while (performance.now() - held < 1_000) {
      await read(store, state)
      reads += 1
      await new Promise((resolve) => setImmediate(resolve))
    }
    await lock.rollback()
    expect(await created).toMatchObject({ kind: 'created' })
    expect(await won).toBe(true)
    // Neither reads nor the process stood still.
    expect(reads).toBeGreaterThan(100)
  })

  it('says unavailable when the lock stays, having changed nothing', async () => {
    const lock = await door.transaction('write')
    await expect(store.createJob(newJob({}, { id: 'late' }))).rejects.toMatchObject({ code: 'unavailable' })
    await lock.rollback()
    expect(await store.readJob({ tenant: 'acme', job: 'late' })).toBeNull()
    await submit(store, {}, { id: 'late' })
  })

  it('says unavailable when its folder is gone, and never writes into a deleted file', async () => {
    const { state } = await submit(store)
    made.remove()
    await expect(store.createJob(newJob())).rejects.toMatchObject({ code: 'unavailable' })
    await expect(read(store, state)).rejects.toMatchObject({ code: 'unavailable' })
    await expect(store.ping()).rejects.toMatchObject({ code: 'unavailable' })
    await expect(made.open()).rejects.toMatchObject({ code: 'unavailable' })
  })

  it('refuses work after close, and finishes what was waiting', async () => {
    const waiting = Promise.all(Array.from({ length: 10 }, () => store.createJob(newJob())))
    await store.close()
    expect((await waiting).every(({ kind }) => kind === 'created')).toBe(true)
    await expect(store.createJob(newJob())).rejects.toMatchObject({ code: 'unavailable' })
    await expect(store.ping()).rejects.toMatchObject({ code: 'unavailable' })
    store = await made.open()
  })

  it('keeps the neighbours of a failing batch whole, though one commit held them all', async () => {
    const key = { id: 'k', tenant: 'acme', role: 'tenant', name: null, createdAtMs: 1, expiresAtMs: null } as const
    const results = await Promise.allSettled([
      submit(store, {}, { id: 'before' }),
      store.createKey(key, 'same'),
      store.createKey({ ...key, id: 'k2' }, 'same'),
      submit(store, {}, { id: 'after' }),
    ])
    expect(results.map(({ status }) => status)).toEqual(['fulfilled', 'fulfilled', 'rejected', 'fulfilled'])
    expect(results[2]).toMatchObject({ reason: { code: 'internal' } })
    expect((await store.listKeys('acme')).map(({ id }) => id)).toEqual(['k'])
  })

  it('lets two control planes share it: one winner, one plan', async () => {
    const second = await made.open()
    const { state } = await submit(store)
    const { schedulerRev } = await second.readScheduleView(1)
    const change = changeOf(state, assigned(state, 'a'))
    const rivals = Array.from({ length: 20 }, (_, index) => (index % 2 ? store : second).commit(change))
    expect((await Promise.all(rivals)).filter(Boolean)).toHaveLength(1)
    const next = await submit(store)
    const plan = [changeOf(next.state, assigned(next.state, 'a'))]
    const plans = await Promise.all([store.commitPlan(schedulerRev, plan), second.commitPlan(schedulerRev, plan)])
    expect(plans.flat()).toHaveLength(1)
    await second.close()
  })

  it('is migrated once by several starts at once, and refuses what a newer version migrated', async () => {
    const fresh = makeFolder()
    const stores = await Promise.all([fresh.open(), fresh.open(), fresh.open()])
    await Promise.all(stores.map((one) => one.close()))
    const client = fresh.sideDoor()
    expect(await migrate(client)).toEqual([])
    await client.execute("INSERT INTO migrations (name, applied_at) VALUES ('9999_later.sql', '')")
    client.close()
    await expect(fresh.open()).rejects.toThrow(/9999_later/)
    fresh.remove()
  })

  it('has the columns that the schema says', async () => {
    for (const table of Object.values(schema) as SQLiteTable[]) {
      const { name, columns } = getTableConfig(table)
      const { rows } = await door.execute(
        `SELECT name, lower(type) AS type, "notnull" AS required, pk FROM pragma_table_info('${name}')`,
      )
      const real = rows.map((row) => [row['name'], row['type'], row['required'] === 1 || row['pk'] !== 0])
      expect(
        columns.map((column) => [column.name, column.getSQLType(), column.notNull || column.primary]),
        name,
      ).toEqual(real)
    }
  })
})
