// What the scheduler sees of the rows, and how the assignments of one plan are applied.
import { expect, it } from 'vitest'
import type { Change } from '../../control-plane/core/ports.ts'
import { jobError } from '../../shared/errors.ts'
import type { JobState } from '../../shared/job.ts'
import { eventually } from '../support/eventually.ts'
import {
  assigned,
  beat,
  changeOf,
  finished,
  held,
  join,
  liveAgent,
  move,
  read,
  runOn,
  submit,
  type StoreUnderTest,
} from './job-store.fixtures.ts'

export function plansContract(current: () => StoreUnderTest): void {
  it('applies one of two plans made from the same view', async () => {
    const { store } = current()
    const agent = await liveAgent(store)
    const [one, two] = [await submit(store), await submit(store)]
    const { schedulerRev } = await store.readScheduleView(10)
    const plan = (state: JobState): Change[] => [changeOf(state, assigned(state, agent, ['GPU-0']))]
    const [first, second] = await Promise.all([
      store.commitPlan(schedulerRev, plan(one.state)),
      store.commitPlan(schedulerRev, plan(two.state)),
    ])
    expect(first.length + second.length).toBe(1)
    expect((await store.readScheduleView(10)).placed).toHaveLength(1)
  })

  it('applies the others of a plan when one job has moved', async () => {
    const { store } = current()
    const [one, two] = [await submit(store), await submit(store)]
    const { schedulerRev } = await store.readScheduleView(10)
    const changes = [one, two].map(({ state }) => changeOf(state, assigned(state, 'a')))
    await move(store, one.state, { type: 'cancel_requested', graceSeconds: 1 })
    expect(await store.commitPlan(schedulerRev, changes)).toEqual([changes[1]])
    expect((await read(store, one.state)).state.status).toBe('cancelled')
  })

  it('keeps a plan valid while jobs end and agents come', async () => {
    const { store } = current()
    const agent = await liveAgent(store)
    const running = await runOn(store, agent)
    const { state } = await submit(store)
    const { schedulerRev } = await store.readScheduleView(10)
    await move(store, running.state, finished(running.state, agent))
    await liveAgent(store)
    expect(await store.commitPlan(schedulerRev, [changeOf(state, assigned(state, agent))])).toHaveLength(1)
  })

  it('counts a lost attempt that its agent never told of as held there, until a beat that knows of it', async () => {
    const { store } = current()
    const agent = await liveAgent(store)
    const { state } = await runOn(store, agent, { retries: { max_attempts: 2, on: ['agent_lost'] } })
    const silent = await move(store, state, { type: 'lapsed', attempt: 1, reason: 'silence' })
    await move(store, silent.state, { type: 'lost', attempt: 1 })
    const heldThere = async () => (await store.readScheduleView(10)).agents.flatMap(({ held: list }) => list)
    // A beat that was built before the claim comes late.
    await beat(store, agent, 1, [])
    expect(await heldThere()).toMatchObject([{ job: state.id, attempt: 1, phase: 'running' }])
    await beat(store, agent, 2, [])
    expect(await heldThere()).toEqual([])
  })

  it('keeps a retry from the scheduler while its ended attempt is still being published, and no longer', async () => {
    const { store, execute } = current()
    const agent = await liveAgent(store)
    const { state } = await runOn(store, agent, { retries: { max_attempts: 3, on: ['exit_nonzero'] } })
    const exit = { code: 3, oom_killed: false, reason: 'exited' } as const
    const event = { ...finished(state, agent), exit, error: jobError('exit_nonzero') } as Parameters<typeof move>[2]
    const again = await move(store, state, event, { attempt: { attempt: 1, updates: 7 } })
    expect(again.state.phase).toBe('queued')
    const isShown = async (): Promise<boolean> => (await store.readScheduleView(10)).queued.length > 0
    // Claimed since its agent's last beat; then listed as ended; then not listed any more.
    expect(await isShown()).toBe(false)
    await beat(store, agent, 2, [held(state, 1, { phase: 'finished' })])
    expect(await isShown()).toBe(false)
    // It has just told the end, so it lives; only a whole lease later its silence counts.
    await execute('UPDATE agents SET lease_until = 0')
    expect(await isShown()).toBe(false)
    await execute('UPDATE agents SET lease_ms = 1500')
    await eventually(isShown, { what: 'a lease since the end is over' })
    // Its lease has just run out, perhaps because the database took no beats: again only a whole lease later.
    await execute(`UPDATE agents SET lease_until = ${Date.now()}`)
    expect(await isShown()).toBe(false)
    await execute('UPDATE agents SET lease_ms = 0')
    expect(await isShown()).toBe(true)
    await beat(store, agent, 3, [held(state, 1, { phase: 'finished' })])
    expect(await isShown()).toBe(false)
    await beat(store, agent, 4, [])
    expect(await isShown()).toBe(true)
  })

  it('shows the scheduler priority before age, each pool its own share, and nothing of a pool without agents', async () => {
    const { store } = current()
    const agent = await liveAgent(store)
    const normal = await submit(store, { stdin: 'x'.repeat(10_000), image: 'i' })
    const high = await submit(store, { priority: 'high' })
    await submit(store, { pool: 'nobody' })
    const taken = await runOn(store, agent)
    const view = await store.readScheduleView(10)
    expect(view.queued.map(({ state }) => state)).toEqual([high.state, normal.state])
    expect(view.queued[1]?.spec).toMatchObject({ image: 'i', pool: 'default', resources: normal.spec.resources })
    expect(view.queued[1]?.spec.stdin).toBeUndefined()
    expect(view.placed.map(({ state }) => state)).toEqual([taken.state])
    expect(view.agents.map(({ id }) => id)).toEqual([agent])
    expect((await store.readScheduleView(1)).queued).toHaveLength(1)
    await join(store, { pool: 'gpu' })
    await submit(store, { pool: 'gpu' })
    expect((await store.readScheduleView(1)).queued.map(({ spec }) => spec.pool)).toEqual(['default', 'gpu'])
  })
}
