// JobStore: what time does, by the database's clock, and what it must not do while nobody watched.
import { expect, it } from 'vitest'
import type { JobStore, SweepView } from '../../control-plane/core/ports.ts'
import { eventually } from '../support/eventually.ts'
import {
  assigned,
  beat,
  LEASE_MS,
  liveAgent,
  move,
  read,
  runOn,
  submit,
  type StoreUnderTest,
} from './job-store.fixtures.ts'

const TERM_MS = 10_000

/** A sweep of a control plane that has been watching. */
async function watch(store: JobStore): Promise<SweepView> {
  await store.beginSweep({ termMs: TERM_MS, limit: 50 })
  return store.beginSweep({ termMs: TERM_MS, limit: 50 })
}

const idsOf = (records: readonly { state: { id: string } }[]): string[] => records.map(({ state }) => state.id)

export function sweepContract(current: () => StoreUnderTest): void {
  it('is blind at first, then sees', async () => {
    const { store } = current()
    expect((await store.beginSweep({ termMs: TERM_MS, limit: 50 })).blind).toBe(true)
    expect((await store.beginSweep({ termMs: TERM_MS, limit: 50 })).blind).toBe(false)
  })

  it('is blind once of ten sweeps at the same time', async () => {
    const { store } = current()
    const views = await Promise.all(Array.from({ length: 10 }, () => store.beginSweep({ termMs: TERM_MS, limit: 5 })))
    expect(views.filter(({ blind }) => blind)).toHaveLength(1)
  })

  it('lists what an agent held when its lease runs out, and nothing of one that beats', async () => {
    const { store } = current()
    await watch(store)
    const [silent, alive] = [await liveAgent(store, 500), await liveAgent(store)]
    const lost = await runOn(store, silent)
    await runOn(store, alive)
    expect(idsOf((await store.beginSweep({ termMs: TERM_MS, limit: 50 })).lapsed)).toEqual([])
    await eventually(async () => {
      const view = await store.beginSweep({ termMs: TERM_MS, limit: 50 })
      expect(idsOf(view.lapsed)).toEqual([lost.state.id])
    })
    await beat(store, silent, 2)
    expect((await store.beginSweep({ termMs: TERM_MS, limit: 50 })).lapsed).toEqual([])
    await store.deleteAgent(silent)
    expect(idsOf((await store.beginSweep({ termMs: TERM_MS, limit: 50 })).lapsed)).toEqual([lost.state.id])
  })

  it('tells with a job what is left of the lease of its agent', async () => {
    const { store, execute } = current()
    const agent = await liveAgent(store)
    expect((await submit(store)).leaseLeftMs).toBeNull()
    const { state } = await runOn(store, agent)
    const leftMs = async (): Promise<number | null> => (await read(store, state)).leaseLeftMs
    expect(await leftMs()).toBeGreaterThan(LEASE_MS - 10_000)
    expect(await leftMs()).toBeLessThanOrEqual(LEASE_MS)
    await execute('UPDATE agents SET lease_until = 1')
    expect(await leftMs()).toBe(0)
    await store.deleteAgent(agent)
    expect(await leftMs()).toBeNull()
  })

  it('gives an agent that claims after a long silence the time for its first beat', async () => {
    const { store, execute } = current()
    await watch(store)
    const agent = await liveAgent(store)
    await execute('UPDATE agents SET lease_until = 1')
    const claimed = await runOn(store, agent)
    expect((await store.beginSweep({ termMs: TERM_MS, limit: 50 })).lapsed).toEqual([])
    await execute('UPDATE agents SET lease_ms = 0')
    expect(idsOf((await store.beginSweep({ termMs: TERM_MS, limit: 50 })).lapsed)).toEqual([claimed.state.id])
  })

  it('judges nothing after a time in which nobody swept, and gives leases a fresh term', async () => {
    const { store, execute } = current()
    await watch(store)
    const agent = await liveAgent(store)
    await runOn(store, agent)
    const ttl = await submit(store, { queue_ttl_seconds: 1 })
    const silent = await runOn(store, agent)
    await move(store, silent.state, { type: 'lapsed', attempt: 1, reason: 'x' })
    // An hour passes in which no control plane runs.
    const hour = 3_600_000
    await execute(`UPDATE sweep SET at = at - ${hour}, watching_since = watching_since - ${hour}`)
    await execute(`UPDATE agents SET lease_until = lease_until - ${hour} + 1000, lease_ms = 60000`)
    const view = await store.beginSweep({ termMs: TERM_MS, limit: 50 })
    expect(view).toMatchObject({ blind: true, lapsed: [], reconnecting: [], expired: [], queuedCount: 1 })
    expect((await store.readAgent(agent))?.leaseExpired).toBe(false)
    const next = await store.beginSweep({ termMs: TERM_MS, limit: 50 })
    expect(next).toMatchObject({ blind: false, lapsed: [] })
    expect(idsOf(next.reconnecting.map(({ record }) => record))).toEqual([silent.state.id])
    // Silence counts from when somebody watched again.
    expect(next.reconnecting[0]?.silentMs).toBeLessThan(5_000)
    await eventually(async () => {
      expect(idsOf((await store.beginSweep({ termMs: TERM_MS, limit: 50 })).expired)).toEqual([ttl.state.id])
    })
  })

  it('does not call an agent alive again whose lease had run out when somebody last looked', async () => {
    const { store, execute } = current()
    await watch(store)
    const agent = await liveAgent(store)
    await execute('UPDATE agents SET lease_until = 1')
    await execute('UPDATE sweep SET at = at - 3600000')
    expect((await store.beginSweep({ termMs: TERM_MS, limit: 50 })).blind).toBe(true)
    expect((await store.readAgent(agent))?.leaseExpired).toBe(true)
  })

  it('is blind when the last sweep lies in the future: the clock went back', async () => {
    const { store, execute } = current()
    await watch(store)
    await execute('UPDATE sweep SET at = at + 3600000')
    expect((await store.beginSweep({ termMs: TERM_MS, limit: 50 })).blind).toBe(true)
    expect((await store.beginSweep({ termMs: TERM_MS, limit: 50 })).blind).toBe(false)
  })

  it('lists unclaimed assignments with their age, and at most the limit', async () => {
    const { store } = current()
    const agent = await liveAgent(store)
    await watch(store)
    for (let number = 0; number < 3; number++) {
      const { state } = await submit(store)
      await move(store, state, assigned(state, agent))
    }
    await eventually(async () => {
      const { unclaimed } = await store.beginSweep({ termMs: TERM_MS, limit: 50 })
      expect(unclaimed).toHaveLength(3)
      for (const { waitedMs } of unclaimed) expect(waitedMs).toBeGreaterThan(50)
    })
    expect((await store.beginSweep({ termMs: TERM_MS, limit: 2 })).unclaimed).toHaveLength(2)
  })

  it('lets a wait go on through an assignment that was taken back', async () => {
    const { store, execute } = current()
    await watch(store)
    const { state } = await submit(store, { queue_ttl_seconds: 3 })
    const placed = await move(store, state, assigned(state, 'a'))
    // Four seconds pass. Only a change of rev may touch the row, so this is what the next writer would see.
    await execute('UPDATE jobs SET rev = rev + 1, queued_at = queued_at - 4000, phase_since = phase_since - 4000')
    const moved = { ...placed.state, rev: placed.state.rev + 1 }
    await move(store, moved, { type: 'unassigned', attempt: 1, reason: 'x' })
    expect(idsOf((await store.beginSweep({ termMs: TERM_MS, limit: 50 })).expired)).toEqual([state.id])
  })
}
