// JobStore: compare-and-set, its guards, and what the database itself refuses.
import { describe, expect, it } from 'vitest'
import type { Change } from '../../control-plane/core/ports.ts'
import { jobError } from '../../shared/errors.ts'
import {
  assigned,
  beat,
  changeOf,
  claimed,
  finished,
  held,
  keyOf,
  liveAgent,
  move,
  read,
  runOn,
  submit,
  type StoreUnderTest,
} from './job-store.fixtures.ts'

export function changesContract(current: () => StoreUnderTest): void {
  it('lets one of twenty rivals win, and writes one transition', async () => {
    const { store } = current()
    const { state } = await submit(store)
    const rivals = Array.from({ length: 20 }, (_, index) => changeOf(state, assigned(state, `agent${index}`)))
    const won = await Promise.all(rivals.map((change) => store.commit(change)))
    expect(won.filter(Boolean)).toHaveLength(1)
    expect((await read(store, state)).state).toEqual(rivals[won.indexOf(true)]?.after)
    expect(await store.readTransitions(keyOf(state))).toHaveLength(2)
  })

  it('refuses the same change asked for twice: a lost answer does no harm', async () => {
    const { store } = current()
    const { state } = await submit(store)
    const change = changeOf(state, assigned(state, 'a'), { reason: 'because' })
    expect(await store.commit(change)).toBe(true)
    expect(await store.commit(change)).toBe(false)
    const made = await store.readTransitions(keyOf(state))
    expect(made.map(({ rev, event, reason }) => ({ rev, event, reason }))).toEqual([
      { rev: 1, event: 'submitted', reason: undefined },
      { rev: 2, event: 'assigned', reason: 'because' },
    ])
  })

  it('refuses a change of a job that is not there', async () => {
    const { store } = current()
    const { state } = await submit(store)
    const ghost = { ...state, id: 'ghost' }
    expect(await store.commit(changeOf(ghost, assigned(ghost, 'a')))).toBe(false)
  })

  it('goes a whole way: claim, report, cancel flag, lapse, return, finish', async () => {
    const { store } = current()
    const agent = await liveAgent(store)
    const pulling = await runOn(store, agent)
    const who = { agent, session: 's1', attempt: 1 }
    const running = await move(store, pulling.state, { type: 'reported', ...who, phase: 'running' })
    expect(running.startedAtMs).not.toBeNull()
    const flagged = await move(store, running.state, { type: 'cancel_requested', graceSeconds: 3 })
    const silent = await move(store, flagged.state, { type: 'lapsed', attempt: 1, reason: 'silence' })
    const back = await move(store, silent.state, { type: 'renewed', ...who })
    const facts = { attempt: 1, imageDigest: 'sha256:1', startedAtMs: 5, finishedAtMs: 9, updates: 7, error: null }
    const done = await move(store, back.state, finished(back.state, agent), { attempt: facts })
    expect(done.attempts).toMatchObject([
      {
        attempt: 1,
        agent,
        session: 's1',
        gpus: [],
        imageDigest: 'sha256:1',
        startedAtMs: 5,
        finishedAtMs: 9,
        updates: 7,
      },
    ])
    expect(done.finishedAtMs).not.toBeNull()
    expect(done.state).toMatchObject({ status: 'completed', result: { out: [1] }, assignment: null })
    expect(await store.jobsOnAgent(agent)).toEqual([])
  })

  it('keeps one row of an attempt that another session adopts', async () => {
    const { store } = current()
    const agent = await liveAgent(store)
    const { state } = await runOn(store, agent)
    const adopted = await move(store, state, {
      type: 'claimed',
      agent,
      session: 's2',
      attempt: 1,
      beat: 0,
      adopt: true,
    })
    expect(adopted.attempts).toMatchObject([{ attempt: 1, session: 's2' }])
  })

  it('keeps of a lost attempt how far its agent told that it had come', async () => {
    const { store } = current()
    const agent = await liveAgent(store)
    const { state } = await runOn(store, agent)
    await beat(store, agent, 5, [held(state, 1, { n: 40 })])
    const silent = await move(store, state, { type: 'lapsed', attempt: 1, reason: 'silence' })
    const lost = await move(store, silent.state, { type: 'lost', attempt: 1 })
    expect(lost.attempts).toMatchObject([{ updates: null, told: 40 }])
    await beat(store, agent, 6, [])
    expect((await read(store, state)).attempts).toMatchObject([{ told: 40 }])
  })

  it('keeps it of an attempt that the next process does not list any more, and of none that told its end', async () => {
    const { store } = current()
    const agent = await liveAgent(store)
    const [gone, done] = [await runOn(store, agent), await runOn(store, agent)]
    await beat(store, agent, 5, [held(gone.state, 1, { n: 7 }), held(done.state, 1, { n: 8 })])
    await move(store, done.state, finished(done.state, agent), { attempt: { attempt: 1, finishedAtMs: 9, updates: 8 } })
    await beat(store, agent, 4, [])
    expect((await read(store, gone.state)).attempts).toMatchObject([{ told: null }])
    await beat(store, agent, 1, [], { session: 's2' })
    expect((await read(store, gone.state)).attempts).toMatchObject([{ told: 7 }])
    expect((await read(store, done.state)).attempts).toMatchObject([{ told: null }])
    const lost = await move(store, gone.state, { type: 'lapsed', attempt: 1, reason: 'dropped' })
    const ended = await move(store, lost.state, { type: 'lost', attempt: 1 })
    expect(ended.attempts).toMatchObject([{ told: 7 }])
  })

  it('goes on to a second attempt: back-off, the lost one ended, the queue entered anew', async () => {
    const { store } = current()
    const agent = await liveAgent(store)
    const { state } = await runOn(store, agent, { retries: { max_attempts: 2, on: ['agent_lost'] } })
    const silent = await move(store, state, { type: 'lapsed', attempt: 1, reason: 'silence' })
    const again = await move(store, silent.state, { type: 'lost', attempt: 1 }, { notBeforeMs: 60_000 })
    expect(again.state).toMatchObject({ phase: 'queued', attempt: 1, failures: 1 })
    expect(again.attempts[0]?.finishedAtMs).not.toBeNull()
    expect(again.attempts[0]?.updates).toBeNull()
    expect((await store.readScheduleView(10)).queued).toEqual([])
    const placed = await move(store, again.state, assigned(again.state, agent))
    const second = await move(store, placed.state, claimed(placed.state, agent), { attempt: { attempt: 2 } })
    expect(second.attempts.map(({ attempt }) => attempt)).toEqual([1, 2])
  })

  it('keeps a failed attempt with its error', async () => {
    const { store } = current()
    const agent = await liveAgent(store)
    const { state } = await runOn(store, agent)
    const error = jobError('exit_nonzero', 'it said "no"')
    const exit = { code: 3, oom_killed: false, reason: 'exited' } as const
    const event = { ...finished(state, agent), exit, error } as Parameters<typeof move>[2]
    const done = await move(store, state, event, { attempt: { attempt: 1, exit, error, updates: 0 } })
    expect(done.state).toMatchObject({ status: 'error', error, exit })
    expect(done.attempts[0]).toMatchObject({ error, exit, updates: 0 })
  })

  it('holds an attempt from its claim on, until a later beat of its agent does not list it', async () => {
    const { store } = current()
    const [agent, stranger] = [await liveAgent(store), await liveAgent(store)]
    const { state } = await runOn(store, agent)
    // No beat has come since the claim: a job that began and ended between two beats is still being published.
    expect((await read(store, state)).heldAttempts).toEqual([1])
    await beat(store, agent, 2, [held(state)])
    await beat(store, stranger, 2, [held(state, 9)])
    expect((await read(store, state)).heldAttempts).toEqual([1])
    const done = await move(store, (await read(store, state)).state, finished(state, agent))
    expect(done.heldAttempts).toEqual([1])
    // Silent for longer than the job waits: it will publish nothing more.
    await current().execute('UPDATE agents SET lease_until = lease_until - 700000')
    expect((await read(store, state)).heldAttempts).toEqual([])
    await beat(store, agent, 3, [])
    expect((await read(store, state)).heldAttempts).toEqual([])
  })

  it('holds an attempt whose end is the first word after a long silence: its readers were told of a gap', async () => {
    const { store, execute } = current()
    const agent = await liveAgent(store)
    const { state } = await runOn(store, agent)
    await beat(store, agent, 2, [held(state)])
    await execute('UPDATE agents SET lease_until = lease_until - 700000')
    expect((await read(store, state)).heldAttempts).toEqual([])
    const done = await move(store, state, finished(state, agent), { attempt: { attempt: 1, updates: 7 } })
    expect(done.heldAttempts).toEqual([1])
    await execute('UPDATE agents SET lease_ms = lease_ms - 700000')
    expect((await read(store, state)).heldAttempts).toEqual([])
  })

  describe('guards', () => {
    it('applies nothing when the session is not the current one', async () => {
      const { store } = current()
      const agent = await liveAgent(store)
      const { state } = await submit(store)
      const placed = await move(store, state, assigned(state, agent))
      const claim = (session: string): Change =>
        changeOf(placed.state, claimed(placed.state, agent, session), { guard: { kind: 'session', agent, session } })
      expect(await store.commit(claim('s0'))).toBe(false)
      expect((await read(store, state)).attempts).toEqual([])
      expect(await store.commit(claim('s1'))).toBe(true)
    })

    it('lapses only what the database calls silent', async () => {
      const { store, execute } = current()
      const agent = await liveAgent(store)
      const { state } = await runOn(store, agent)
      const lapse = changeOf(
        state,
        { type: 'lapsed', attempt: 1, reason: 'x' },
        { guard: { kind: 'lease_expired', agent } },
      )
      expect(await store.commit(lapse)).toBe(false)
      await execute('UPDATE agents SET lease_until = 0')
      expect(await store.commit(lapse)).toBe(true)
    })

    it('calls a deleted agent silent', async () => {
      const { store } = current()
      const agent = await liveAgent(store)
      const { state } = await runOn(store, agent)
      await store.deleteAgent(agent)
      const lapse = changeOf(
        state,
        { type: 'lapsed', attempt: 1, reason: 'x' },
        { guard: { kind: 'lease_expired', agent } },
      )
      expect(await store.commit(lapse)).toBe(true)
    })

    it('compares and moves the schedule', async () => {
      const { store } = current()
      const { state } = await submit(store)
      const { schedulerRev: rev } = await store.readScheduleView(1)
      const assign = (at: number): Change =>
        changeOf(state, assigned(state, 'a'), { guard: { kind: 'scheduler', rev: at } })
      expect(await store.commit(assign(rev + 1))).toBe(false)
      expect(await store.commit(assign(rev))).toBe(true)
      expect((await store.readScheduleView(1)).schedulerRev).toBe(rev + 1)
    })
  })
}

/** What the database itself refuses, whoever asks. */
export function refusalsContract(current: () => StoreUnderTest): void {
  it('keeps an ended job as it ended', async () => {
    const { store, execute } = current()
    const { state } = await submit(store)
    const { state: ended } = await move(store, state, { type: 'cancel_requested', graceSeconds: 1 })
    await expect(execute("UPDATE jobs SET status = 'running', rev = rev + 1")).rejects.toThrow(/an ended job never/)
    await expect(execute("UPDATE jobs SET result = '1', rev = rev + 1")).rejects.toThrow(/an ended job never/)
    const forged: Change = { before: ended, after: { ...state, rev: ended.rev + 1 }, event: { type: 'expired' } }
    await expect(store.commit(forged)).rejects.toMatchObject({ code: 'internal' })
    expect((await read(store, state)).state).toEqual(ended)
    expect(await store.readTransitions(keyOf(state))).toHaveLength(2)
  })

  it('refuses a rev that is not the next, and an attempt that comes back', async () => {
    const { store, execute } = current()
    const { state } = await runOn(store, await liveAgent(store))
    await expect(execute('UPDATE jobs SET rev = rev + 2')).rejects.toThrow(/exactly the next rev/)
    await expect(execute('UPDATE jobs SET failures = 3')).rejects.toThrow(/exactly the next rev/)
    await expect(execute('UPDATE jobs SET rev = rev + 1, attempt = attempt - 1')).rejects.toThrow(/never comes back/)
    await expect(execute('DELETE FROM jobs')).rejects.toThrow(/never deleted/)
    await expect(execute("UPDATE transitions SET event = 'x'")).rejects.toThrow(/never rewritten/)
    expect((await read(store, state)).state).toEqual(state)
  })
}
