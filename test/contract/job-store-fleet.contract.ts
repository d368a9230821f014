// JobStore: agents, their sessions and beats; keys and join tokens; metrics.
import { expect, it } from 'vitest'
import { newId, sha256Hex } from '../../shared/ids.ts'
import { newSession } from '../../shared/session-name.ts'
import {
  allowJoining,
  assigned,
  beat,
  CAPACITY,
  held,
  join,
  liveAgent,
  move,
  runOn,
  submit,
  type StoreUnderTest,
} from './job-store.fixtures.ts'

export function fleetContract(current: () => StoreUnderTest): void {
  it('joins only with a token that is known and has not expired', async () => {
    const { store } = current()
    expect(await join(store)).toBe('bad_token')
    await allowJoining(store, { expiresAtMs: Date.now() - 1 })
    expect(await join(store)).toBe('bad_token')
    expect((await store.listAgents({ limit: 10, cursor: null })).items).toEqual([])
  })

  it('replaces an agent that joins again with its nkey', async () => {
    const { store } = current()
    await allowJoining(store)
    const nkey = `U${'B'.repeat(55)}`
    const first = await join(store, { nkey, key: 'old', session: 's1' })
    const again = await join(store, { nkey, key: 'new', session: 's2' })
    if (first === 'bad_token' || again === 'bad_token') throw new Error('refused')
    expect(again).toMatchObject({ id: first.id, session: 's2', leaseExpired: true, capacity: CAPACITY })
    expect(await store.agentAndJob(await sha256Hex('old'), null)).toEqual([null, null])
    expect(await store.agentAndJob(await sha256Hex('new'), null)).toEqual([again, null])
    expect(await beat(store, first.id, 1, [], { session: 's1' })).toEqual({ kind: 'superseded' })
  })

  it('reads a caller together with its job, and takes a beat by the hash of its key', async () => {
    const { store } = current()
    await allowJoining(store)
    const agent = await join(store, { key: 'mine' })
    const stranger = await join(store)
    if (agent === 'bad_token' || stranger === 'bad_token') throw new Error('refused')
    const { state } = await submit(store)
    const [caller, job] = await store.agentAndJob(await sha256Hex('mine'), { tenant: state.tenant, job: state.id })
    expect([caller?.id, job?.state]).toEqual([agent.id, state])
    expect(await store.agentAndJob(await sha256Hex('mine'), { tenant: 'other', job: state.id })).toEqual([caller, null])
    const by = async (key: string) => beat(store, { keyHash: await sha256Hex(key) }, 1, [held(state)])
    expect(await by('mine')).toMatchObject({ kind: 'ok', agent: { id: agent.id, beat: 1 }, jobs: [{ state }] })
    expect(await store.readAgent(stranger.id)).toMatchObject({ beat: 0, held: [] })
    expect(await by('unknown')).toEqual({ kind: 'gone' })
  })

  it('puts an agent into the pool of its token', async () => {
    const { store } = current()
    await allowJoining(store, { pool: 'gpu' })
    expect(await join(store, { pool: 'default' })).toMatchObject({ pool: 'gpu' })
  })

  it('lets the newest session win, for ever', async () => {
    const { store } = current()
    const agent = await liveAgent(store)
    expect(await beat(store, agent, 2)).toMatchObject({ kind: 'ok', agent: { session: 's1', beat: 2 } })
    expect(await beat(store, agent, 1, [], { session: 's2' })).toMatchObject({ kind: 'ok', changed: true })
    const held2 = (await store.readAgent(agent))?.held
    const { state } = await submit(store)
    expect(await beat(store, agent, 99, [held(state, 1)], { session: 's1' })).toEqual({ kind: 'superseded' })
    expect(await store.readAgent(agent)).toMatchObject({ session: 's2', beat: 1, held: held2 })
    expect(await store.leaveAgent(agent, 's1')).toBe(false)
    expect(await store.leaveAgent(agent, 's2')).toBe(true)
    expect((await store.readAgent(agent))?.leaseExpired).toBe(true)
  })

  it('takes no late first beat of a dead process for a newer one: it superseded the living process', async () => {
    const { store } = current()
    const agent = await liveAgent(store)
    const dead = newSession(null, Date.now() - 60_000)
    const alive = newSession(dead, Date.now())
    expect(await beat(store, agent, 1, [], { session: alive })).toMatchObject({ kind: 'ok' })
    expect(await beat(store, agent, 1, [], { session: dead })).toEqual({ kind: 'superseded' })
    expect(await beat(store, agent, 2, [], { session: dead })).toEqual({ kind: 'superseded' })
    expect(await beat(store, agent, 2, [], { session: alive })).toMatchObject({ kind: 'ok', agent: { beat: 2 } })
    // A name that tells no order (an agent of an earlier version) is newest when it is new.
    expect(await beat(store, agent, 1, [], { session: 's9' })).toMatchObject({ kind: 'ok', agent: { session: 's9' } })
    expect(await beat(store, agent, 1, [], { session: newSession(null, 1) })).toMatchObject({ kind: 'ok' })
  })

  it('makes one of twenty new sessions current, and the rest superseded', async () => {
    const { store } = current()
    const agent = await liveAgent(store)
    const sessions = Array.from({ length: 20 }, (_, index) => `n${index}`)
    await Promise.all(sessions.map((session) => beat(store, agent, 1, [], { session })))
    const kinds = await Promise.all(
      sessions.map(async (session) => (await beat(store, agent, 2, [], { session })).kind),
    )
    expect(kinds.filter((kind) => kind === 'ok')).toHaveLength(1)
  })

  it('only renews for a beat that is not later than the last', async () => {
    const { store, execute } = current()
    const agent = await liveAgent(store)
    const { state } = await runOn(store, agent)
    await beat(store, agent, 3, [held(state)])
    await execute('UPDATE agents SET lease_until = 0')
    expect(await beat(store, agent, 2, [])).toMatchObject({ kind: 'ok', agent: { beat: 3, leaseExpired: false } })
    expect((await store.readAgent(agent))?.held).toEqual([held(state)])
  })

  it('keeps the furthest position that was told of an attempt, also when a new process lists it from the start', async () => {
    const { store } = current()
    const agent = await liveAgent(store)
    const { state } = await runOn(store, agent)
    await beat(store, agent, 2, [held(state, 1, { n: 50, stdout_lines: 40, stderr_lines: 7 })])
    await beat(store, agent, 1, [held(state, 1, { n: 0, stdout_lines: 0, stderr_lines: 0, phase: 'finished' })], {
      session: 's2',
    })
    const [kept] = (await store.readAgent(agent))?.held ?? []
    expect(kept).toMatchObject({ n: 50, stdout_lines: 40, stderr_lines: 7, phase: 'finished' })
    await beat(store, agent, 2, [held(state, 1, { n: 60, stdout_lines: 48, stderr_lines: 8 })], { session: 's2' })
    expect((await store.readAgent(agent))?.held[0]).toMatchObject({ n: 60, stdout_lines: 48, stderr_lines: 8 })
  })

  it('calls an agent draining while its process says so, and no longer with the next one', async () => {
    const { store } = current()
    const agent = await liveAgent(store)
    await beat(store, agent, 2, [], { leaving: true })
    expect(await store.readAgent(agent)).toMatchObject({ draining: true })
    await store.setAgentFlags(agent, { draining: false })
    expect(await store.readAgent(agent)).toMatchObject({ draining: true })
    await beat(store, agent, 1, [], { session: 's2' })
    expect(await store.readAgent(agent)).toMatchObject({ draining: false })
  })

  it('says what is news to the scheduler', async () => {
    const { store } = current()
    const agent = await liveAgent(store)
    const { state } = await runOn(store, agent)
    const changed = async (...args: Parameters<typeof beat> extends [unknown, unknown, ...infer R] ? R : never) => {
      const result = await beat(store, agent, ...args)
      return result.kind === 'ok' ? result.changed : result.kind
    }
    expect(await changed(2, [held(state)])).toBe(true)
    expect(await changed(3, [held(state, 1, { n: 50, stdout_lines: 40 })])).toBe(false)
    expect(await changed(4, [held(state, 1, { phase: 'finished' })])).toBe(true)
    expect(await changed(5, [])).toBe(true)
    expect(await changed(6, [], { capacity: CAPACITY })).toBe(false)
    expect(await changed(7, [], { capacity: { ...CAPACITY, cpus: 8 } })).toBe(true)
    expect((await store.readAgent(agent))?.capacity.cpus).toBe(8)
  })

  it('answers with every job placed there and every known one that is held without that', async () => {
    const { store } = current()
    const [agent, other] = [await liveAgent(store), await liveAgent(store)]
    const mine = await runOn(store, agent)
    const waiting = await submit(store)
    const unclaimed = await move(store, waiting.state, assigned(waiting.state, agent))
    const fenced = await runOn(store, other)
    await submit(store)
    const result = await beat(store, agent, 2, [
      held(mine.state),
      held(fenced.state),
      held({ ...mine.state, id: 'ghost' }),
    ])
    const ids = result.kind === 'ok' ? result.jobs.map(({ state }) => state.id) : []
    expect(ids.toSorted()).toEqual([mine, unclaimed, fenced].map(({ state }) => state.id).toSorted())
    expect(result).toMatchObject({ jobs: expect.arrayContaining([expect.objectContaining({ heldAttempts: [1] })]) })
  })

  it('sets flags one by one, pages, and forgets a deleted agent', async () => {
    const { store } = current()
    const agents = [await liveAgent(store), await liveAgent(store), await liveAgent(store)]
    const [agent = ''] = agents
    expect(await store.setAgentFlags(agent, { draining: true })).toMatchObject({ draining: true, cordoned: false })
    expect(await store.setAgentFlags(agent, { cordoned: true })).toMatchObject({ draining: true, cordoned: true })
    expect(await store.setAgentFlags(agent, { cordoned: false, draining: false })).toMatchObject({ draining: false })
    expect(await store.setAgentFlags('ghost', { cordoned: true })).toBeNull()
    const first = await store.listAgents({ limit: 2, cursor: null })
    const rest = await store.listAgents({ limit: 2, cursor: first.cursor })
    expect([...first.items, ...rest.items].map(({ id }) => id).toSorted()).toEqual(agents.toSorted())
    expect(rest.cursor).toBeNull()
    expect(await store.deleteAgent(agent)).toBe(true)
    expect(await store.deleteAgent(agent)).toBe(false)
    expect(await beat(store, agent, 9)).toEqual({ kind: 'gone' })
    expect(await store.readAgent(agent)).toBeNull()
  })

  it('keeps keys by their hash until they expire', async () => {
    const { store } = current()
    expect(await store.hasKeys()).toBe(false)
    const key = {
      id: newId('key'),
      tenant: 'acme',
      role: 'admin',
      name: null,
      createdAtMs: 5,
      expiresAtMs: null,
    } as const
    const old = { ...key, id: newId('key'), tenant: 'beta', expiresAtMs: Date.now() - 1 }
    await store.createKey(key, 'hash')
    await store.createKey(old, 'hash2')
    expect(await store.hasKeys()).toBe(true)
    expect(await store.keyByHash('hash')).toEqual(key)
    expect(await store.keyByHash('hash2')).toBeNull()
    expect(await store.keyByHash('none')).toBeNull()
    expect(await store.listKeys('beta')).toEqual([old])
    expect(await store.listKeys(null)).toHaveLength(2)
    expect(await store.deleteKey(key.id)).toBe(true)
    expect(await store.deleteKey(key.id)).toBe(false)
    expect(await store.keyByHash('hash')).toBeNull()
  })

  it('counts live jobs by phase and agents by state', async () => {
    const { store, execute } = current()
    const [agent, gone] = [await liveAgent(store), await liveAgent(store)]
    await runOn(store, agent)
    const { state } = await submit(store)
    await move(store, state, assigned(state, agent))
    const over = await submit(store)
    await move(store, over.state, { type: 'cancel_requested', graceSeconds: 1 })
    await execute(`UPDATE agents SET lease_until = 0 WHERE id = '${gone}'`)
    const metrics = await store.metrics()
    expect(metrics.jobsByPhase).toMatchObject({ pulling: 1, assigned: 1, queued: 0 })
    expect(metrics.agentsByState).toEqual({ ready: 1, cordoned: 0, draining: 0, lost: 1 })
    expect(metrics.oldestUnclaimedMs).toBeGreaterThanOrEqual(0)
  })
}
