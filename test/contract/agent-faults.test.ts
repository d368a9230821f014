// What an agent does when NATS, the control plane or the agent itself goes away, and at its own end.
import { stat } from 'node:fs/promises'
import path from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { SUPERSEDED_EXIT_CODE } from '../../runner-agent/main.ts'
import { startAgentFixture, type AgentFixture } from '../support/agent-fixture.ts'
import { eventually } from '../support/eventually.ts'

let fixture: AgentFixture

beforeAll(async () => {
  fixture = await startAgentFixture()
})

afterAll(() => fixture.close())

const counting = (last: number): number[] => Array.from({ length: last }, (_, index) => index + 1)
const lines = (count: number): string[] => Array.from({ length: count }, (_, index) => `line ${index}`)

describe('with NATS away', () => {
  test('finishes a job with its N, and publishes everything later', async () => {
    const { controlPlane, nats } = fixture
    const script = 'echo first; sleep 1; i=0; while [ $i -lt 3000 ]; do echo line $i; i=$((i+1)); done'
    const job = controlPlane.submit('offline', fixture.sh(script))
    await controlPlane.updates('offline', 3)
    await nats.kill()
    expect(await fixture.finished(job)).toMatchObject({ exit: { code: 0 }, updates: 3003 })
    expect(await fixture.containers()).toHaveLength(1)
    await eventually(() => expect(controlPlane.held()).toMatchObject([{ job: 'offline', phase: 'finished' }]))
    await nats.start()
    const updates = await controlPlane.updates('offline', 3003)
    expect(updates.map(({ n }) => n)).toEqual(counting(3003))
    expect(updates.slice(3).map(({ content }) => content)).toEqual(lines(3000))
    await fixture.gone()
  })

  test('keeps no more than its buffer: the rest comes from Docker’s log', async () => {
    const { controlPlane, nats } = fixture
    const big = 'head -c 60000 /dev/zero | tr "\\0" x; echo " $i"'
    const job = controlPlane.submit(
      'spill',
      fixture.sh(`echo first; sleep 1; i=0; while [ $i -lt 200 ]; do ${big}; i=$((i+1)); done`),
    )
    await controlPlane.updates('spill', 3)
    await nats.kill()
    expect(await fixture.finished(job)).toMatchObject({ updates: 203 })
    await nats.start()
    const updates = await controlPlane.updates('spill', 203)
    const numbers = updates.slice(3).map(({ content }) => Number((content as string).split(' ')[1]))
    expect(numbers).toEqual(counting(200).map((number) => number - 1))
    await fixture.gone()
  })

  test('starts no attempt after the first before its first update is stored', async () => {
    const { controlPlane, nats } = fixture
    await nats.kill()
    const grant = { resume: { n: 0, stdout_lines: 0, stderr_lines: 0, subject_seq: 0, session: null } }
    const job = controlPlane.submit('second', fixture.sh('true'), { attempt: 2, wake: false, grant })
    const states = async () => (await fixture.containers()).map(({ state }) => state)
    await eventually(async () => expect(await states()).toEqual(['created']))
    const asked = controlPlane.beats.length
    await eventually(() => controlPlane.beats.length > asked + 3)
    expect(await states()).toEqual(['created'])
    await nats.start()
    expect(await fixture.finished(job)).toMatchObject({ attempt: 2, exit: { code: 0 } })
    await fixture.gone()
  })
})

describe('with the control plane away', () => {
  test('a job ends and is finished when it is back', async () => {
    const { controlPlane } = fixture
    const job = controlPlane.submit('finish-away', fixture.sh('sleep 0.5'))
    await controlPlane.updates('finish-away', 2)
    controlPlane.away.add('finish').add('heartbeat')
    await eventually(async () => (await fixture.containers()).some(({ state }) => state === 'exited'))
    expect(job.finish).toBeNull()
    controlPlane.away.clear()
    expect(await fixture.finished(job)).toMatchObject({ exit: { code: 0 } })
    await fixture.gone()
  })

  test('a container is stopped when nobody confirmed it for its lost_after', async () => {
    const { controlPlane } = fixture
    const job = controlPlane.submit('lost', fixture.sh('sleep 60'), { grant: { lost_after_seconds: 1 } })
    await controlPlane.updates('lost', 2)
    controlPlane.away.add('heartbeat')
    await eventually(async () => !(await fixture.containers()).some(({ state }) => state === 'running'), {
      deadlineMs: 10_000,
    })
    controlPlane.away.clear()
    expect(await fixture.finished(job)).toMatchObject({ exit: { reason: 'lost' }, error: { code: 'agent_lost' } })
    await fixture.gone()
  })
})

describe('a restart of the agent', () => {
  test('follows a container on, every line once', async () => {
    const { controlPlane } = fixture
    const script = 'i=0; while [ $i -lt 40 ]; do echo line $i; i=$((i+1)); sleep 0.05; done; exit 4'
    const job = controlPlane.submit('adopted', fixture.sh(script))
    await controlPlane.updates('adopted', 6)
    await fixture.agent.close()
    expect((await fixture.containers()).map(({ state }) => state)).toEqual(['running'])
    await fixture.startAgent()
    expect(await fixture.finished(job)).toMatchObject({ exit: { code: 4, reason: 'exited' }, updates: 42 })
    const updates = await controlPlane.updates('adopted', 42)
    expect(updates.map(({ n }) => n)).toEqual(counting(42))
    expect(updates.slice(2).map(({ content }) => content)).toEqual(lines(40))
    await fixture.gone()
  })

  test('finds a container that ended meanwhile, and removes one that does not count', async () => {
    const { controlPlane } = fixture
    const ended = controlPlane.submit('ended', fixture.sh('echo a; sleep 1; echo b; exit 5'))
    const stopped = controlPlane.submit('stopped', fixture.sh('sleep 60'))
    await controlPlane.updates('ended', 3)
    await controlPlane.updates('stopped', 2)
    await fixture.agent.close()
    stopped.want = 'stop'
    const exited = async () => (await fixture.containers()).some(({ state }) => state === 'exited')
    await eventually(exited, { deadlineMs: 10_000 })
    await fixture.startAgent()
    expect(await fixture.finished(ended)).toMatchObject({ exit: { code: 5 }, updates: 4 })
    await fixture.gone()
    expect(stopped.finish).toBeNull()
  })
})

describe('a restart of the agent between its kill of a container and the word about it', () => {
  test.each([
    ['time-out', { timeout_seconds: 1 }, 'run', { exit: { reason: 'timeout' }, error: { code: 'timeout' } }],
    ['cancel', {}, 'cancel', { exit: { reason: 'cancelled' } }],
  ] as const)('says that it was our %s, not a failure of the program', async (name, spec, want, end) => {
    const { controlPlane } = fixture
    const job = controlPlane.submit(`killed-${name}`, { ...fixture.sh('sleep 60'), ...spec })
    await controlPlane.updates(`killed-${name}`, 2)
    controlPlane.away.add('finish')
    job.want = want
    const exited = async () => (await fixture.containers()).some(({ state }) => state === 'exited')
    await eventually(exited, { deadlineMs: 10_000 })
    await fixture.agent.close()
    controlPlane.away.clear()
    await fixture.startAgent()
    expect(await fixture.finished(job)).toMatchObject(end)
    await fixture.gone()
  })
})

describe('a restart of the agent while NATS is away', () => {
  test('counts as the process before it did, when nothing of the job was stored', async () => {
    const { controlPlane, nats } = fixture
    await nats.kill()
    const grant = { resume: { n: 0, stdout_lines: 0, stderr_lines: 0, subject_seq: 0, session: null } }
    const job = controlPlane.submit('untold', fixture.sh('echo line 0; echo line 1'), { wake: false, grant })
    expect(await fixture.finished(job)).toMatchObject({ exit: { code: 0 }, updates: 4 })
    await fixture.agent.close()
    await fixture.startAgent()
    await nats.start()
    const updates = await controlPlane.updates('untold', 4)
    expect(updates.map(({ n, phase, content }) => [n, phase ?? content])).toEqual([
      [1, 'creating'],
      [2, 'running'],
      [3, 'line 0'],
      [4, 'line 1'],
    ])
    await fixture.gone()
  })

  test('publishes later what a finished job still had to say', async () => {
    const { controlPlane, nats } = fixture
    const job = controlPlane.submit('late', fixture.sh('echo line 0; sleep 1; echo line 1; echo line 2'))
    await controlPlane.updates('late', 3)
    await nats.kill()
    expect(await fixture.finished(job)).toMatchObject({ exit: { code: 0 }, updates: 5 })
    await fixture.agent.close()
    await fixture.startAgent()
    await eventually(() => expect(controlPlane.held()).toMatchObject([{ job: 'late', phase: 'finished' }]))
    await nats.start()
    const updates = await controlPlane.updates('late', 5)
    expect(updates.map(({ n }) => n)).toEqual(counting(5))
    expect(updates.slice(2).map(({ content }) => content)).toEqual(lines(3))
    await fixture.gone()
  })
})

describe('the state folder', () => {
  test('is its owner’s only, and one process’s at a time', async () => {
    expect((await stat(fixture.stateDir)).mode & 0o777).toBe(0o700)
    for (const file of ['agent.nk', 'membership.json'])
      expect((await stat(path.join(fixture.stateDir, file))).mode & 0o777).toBe(0o600)
    await expect(fixture.startAgent()).rejects.toThrow('another agent process holds it')
  })
})

describe('the end', () => {
  test('a drain waits for jobs and says goodbye', async () => {
    const job = fixture.controlPlane.submit('drained', fixture.sh('sleep 1'))
    await fixture.controlPlane.updates('drained', 2)
    fixture.agent.drain()
    expect(await fixture.agent.done).toBe(0)
    expect(job.finish).toMatchObject({ exit: { code: 0 } })
    expect(fixture.controlPlane.left).toBe(true)
    await fixture.startAgent()
  })

  test('a superseded process ends with a code of its own and touches nothing', async () => {
    const job = fixture.controlPlane.submit('kept', fixture.sh('sleep 2'))
    await fixture.controlPlane.updates('kept', 2)
    fixture.controlPlane.superseded = true
    expect(await fixture.agent.done).toBe(SUPERSEDED_EXIT_CODE)
    expect((await fixture.containers()).map(({ state }) => state)).toEqual(['running'])
    fixture.controlPlane.superseded = false
    await fixture.startAgent()
    expect(await fixture.finished(job)).toMatchObject({ exit: { code: 0 } })
    await fixture.gone()
  })
})
