// JobStore: submit, read, list.
import { expect, it } from 'vitest'
import type { JobFilter } from '../../control-plane/core/ports.ts'
import type { JobRecord } from '../../shared/job.ts'
import { AppError } from '../../shared/errors.ts'
import { assigned, keyOf, liveAgent, move, newJob, read, submit, type StoreUnderTest } from './job-store.fixtures.ts'

const ALL: JobFilter = { tenant: 'acme', statuses: [], label: null, pool: null, limit: 50, cursor: null }

export function jobsContract(current: () => StoreUnderTest): void {
  it('reads a job back as it was submitted, with its first transition', async () => {
    const { store } = current()
    const made = await submit(
      store,
      { image: 'x', labels: { team: 'a' }, env: { A: 'ü"\n' }, stdin: 'hello' },
      { retryOf: 'old' },
    )
    expect(await read(store, made.state)).toEqual(made)
    expect(made).toMatchObject({ retryOf: 'old', startedAtMs: null, attempts: [], heldAttempts: [] })
    expect(Math.abs(made.createdAtMs - Date.now())).toBeLessThan(5_000)
    expect(await store.readTransitions(keyOf(made.state))).toEqual([
      { rev: 1, atMs: made.createdAtMs, event: 'submitted', status: 'starting', phase: 'queued' },
    ])
    expect(await store.readJob({ tenant: 'other', job: made.state.id })).toBeNull()
  })

  it('makes one job of fifty submits with one idempotency key', async () => {
    const { store } = current()
    const idempotency = { key: 'k', bodyHash: 'h' }
    const results = await Promise.all(Array.from({ length: 50 }, () => store.createJob(newJob({}, { idempotency }))))
    expect(results.filter(({ kind }) => kind === 'created')).toHaveLength(1)
    const ids = results.map((one) => ('record' in one ? one.record.state.id : one.kind))
    expect(new Set(ids).size).toBe(1)
    expect((await store.listJobs(ALL)).items).toHaveLength(1)
  })

  it('tells another body under the same key, and keeps keys of tenants apart', async () => {
    const { store } = current()
    await submit(store, {}, { idempotency: { key: 'k', bodyHash: 'h' } })
    expect(await store.createJob(newJob({}, { idempotency: { key: 'k', bodyHash: 'other' } }))).toEqual({
      kind: 'mismatch',
    })
    await submit(store, {}, { tenant: 'beta', idempotency: { key: 'k', bodyHash: 'other' } })
    expect((await store.listJobs(ALL)).items).toHaveLength(1)
  })

  it('forgets an idempotency key after seven days', async () => {
    const { store, execute } = current()
    const first = await submit(store, {}, { idempotency: { key: 'k', bodyHash: 'h' } })
    await execute(`UPDATE idempotency SET at = at - ${6 * 24 * 3600 * 1000}`)
    expect(await store.createJob(newJob({}, { idempotency: { key: 'k', bodyHash: 'x' } }))).toEqual({
      kind: 'mismatch',
    })
    await execute(`UPDATE idempotency SET at = at - ${25 * 3600 * 1000}`)
    const second = await submit(store, {}, { idempotency: { key: 'k', bodyHash: 'x' } })
    expect(second.state.id).not.toBe(first.state.id)
  })

  it('refuses a taken id within the tenant only, and stores nothing of the second job', async () => {
    const { store } = current()
    const first = await submit(store, { name: 'first' }, { id: 'same' })
    const idempotency = { key: 'k', bodyHash: 'h' }
    const second = newJob({ name: 'second', labels: { a: 'b' } }, { id: 'same', idempotency })
    expect(await store.createJob(second)).toEqual({ kind: 'taken' })
    expect(await read(store, first.state)).toEqual(first)
    expect((await store.listJobs({ ...ALL, label: { key: 'a', value: 'b' } })).items).toEqual([])
    await submit(store, {}, { id: 'same', tenant: 'beta' })
    // The refused submit did not use up its key.
    await submit(store, {}, { idempotency })
  })

  it('answers a repeated submit that names its own id with the job as it is now', async () => {
    const { store } = current()
    const job = newJob({}, { id: 'mine', idempotency: { key: 'k', bodyHash: 'h' } })
    await store.createJob(job)
    const agent = await liveAgent(store)
    const { state } = await move(store, job.state, assigned(job.state, agent))
    expect(await store.createJob(job)).toMatchObject({ kind: 'existing', record: { state } })
  })

  it('pages newest first, complete and without repetition while jobs are added', async () => {
    const { store } = current()
    const made: string[] = []
    for (let number = 0; number < 25; number++) made.push((await submit(store)).state.id)
    const seen: JobRecord[] = []
    let cursor: string | null = null
    do {
      const page = await store.listJobs({ ...ALL, limit: 4, cursor })
      seen.push(...page.items)
      cursor = page.cursor
      await submit(store)
    } while (cursor !== null)
    expect(seen.map(({ state }) => state.id).toSorted()).toEqual(made.toSorted())
    const places = seen.map(({ createdAtMs, state }) => [createdAtMs, state.id] as const)
    expect(places).toEqual(places.toSorted((a, b) => b[0] - a[0] || (a[1] < b[1] ? 1 : -1)))
  })

  it('filters by status, label and pool, and keeps to the tenant', async () => {
    const { store } = current()
    const one = await submit(store, { labels: { team: 'a', stage: 'x' } })
    const two = await submit(store, { labels: { team: 'b' }, pool: 'gpu' })
    await submit(store, { labels: { team: 'a' } }, { tenant: 'beta' })
    await move(store, two.state, { type: 'cancel_requested', graceSeconds: 1 })
    const ids = async (filter: Partial<JobFilter>) =>
      (await store.listJobs({ ...ALL, ...filter })).items.map(({ state }) => state.id)
    expect(await ids({ label: { key: 'team', value: 'a' } })).toEqual([one.state.id])
    expect(await ids({ label: { key: 'team', value: 'c' } })).toEqual([])
    expect(await ids({ pool: 'gpu' })).toEqual([two.state.id])
    expect(await ids({ statuses: ['cancelled', 'error'] })).toEqual([two.state.id])
    expect(await ids({ statuses: ['starting'], label: { key: 'team', value: 'b' } })).toEqual([])
    expect(await ids({ statuses: ['starting', 'cancelled'] })).toEqual([two.state.id, one.state.id])
  })

  it('pages through a label', async () => {
    const { store } = current()
    const made: string[] = []
    for (let number = 0; number < 7; number++) {
      made.push((await submit(store, { labels: { team: 'a' } })).state.id)
      await submit(store, { labels: { team: 'b' } })
    }
    const seen: string[] = []
    let cursor: string | null = null
    do {
      const page = await store.listJobs({ ...ALL, label: { key: 'team', value: 'a' }, limit: 3, cursor })
      seen.push(...page.items.map(({ state }) => state.id))
      cursor = page.cursor
    } while (cursor !== null)
    expect(seen.toSorted()).toEqual(made.toSorted())
  })

  it('refuses a cursor that it did not give out', async () => {
    const { store } = current()
    for (const cursor of ['', '!', 'MTIz', btoa('1,'), btoa("1,x' OR 1"), 'ü'])
      await expect(store.listJobs({ ...ALL, cursor })).rejects.toMatchObject({ code: 'bad_request' })
    await expect(store.listAgents({ limit: 5, cursor: 'x' })).rejects.toBeInstanceOf(AppError)
  })

  it('counts the position in the queue of its pool by priority, then age', async () => {
    const { store } = current()
    const normal = await submit(store)
    const later = await submit(store)
    const low = await submit(store, { priority: 'low' })
    const high = await submit(store, { priority: 'high' })
    const elsewhere = await submit(store, { pool: 'gpu' })
    const positions = await Promise.all([high, normal, later, low, elsewhere].map((one) => store.queuePosition(one)))
    expect(positions).toEqual([1, 2, 3, 4, 1])
  })

  it('stores two hundred submits at once, each whole', async () => {
    const { store } = current()
    const made = await Promise.all(Array.from({ length: 200 }, () => submit(store, { labels: { storm: 'yes' } })))
    const page = await store.listJobs({ ...ALL, limit: 500 })
    expect(new Set(page.items.map(({ state }) => state.id))).toEqual(new Set(made.map(({ state }) => state.id)))
  })
}
