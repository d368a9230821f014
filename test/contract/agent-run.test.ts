// The agent against a real engine and a real nats-server; the control plane is scripted, so that it can misbehave.
import { mkdtemp, rm, stat } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { afterAll, afterEach, beforeAll, describe, expect, inject, test } from 'vitest'
import { createEngine } from '../../runner-agent/engine/engine-client.ts'
import { loadConfig } from '../../runner-agent/config.ts'
import { startAgent, SUPERSEDED_EXIT_CODE, type Agent } from '../../runner-agent/main.ts'
import { eventually } from '../support/eventually.ts'
import { startNats, type TestNats } from '../support/nats-server.ts'
import {
  startScriptedControlPlane,
  AGENT,
  type ScriptedControlPlane,
  type ScriptedJob,
} from '../support/scripted-control-plane.ts'

const quiet = {
  info: () => undefined,
  warn: () => undefined,
  error: (message: string, fields?: object) => console.error(message, fields),
}

let nats: TestNats
let controlPlane: ScriptedControlPlane
let agent: Agent
let stateDir: string
const engine = createEngine({ socketPath: inject('engineSocket') })
const image = inject('busyboxImage')
const sh = (script: string) => ({ image, command: ['sh', '-c', script], network: 'none' as const })

function config(more: Record<string, string> = {}) {
  const environment = {
    DRAY_URL: controlPlane.url,
    DRAY_JOIN_TOKEN: 'join_x',
    DRAY_STATE: stateDir,
    DOCKER_HOST: `unix://${inject('engineSocket')}`,
    DRAY_INTERNET_NETWORK: 'none',
    DRAY_DRAIN_SECONDS: '5',
  }
  return loadConfig({ ...environment, ...more })
}

const containers = () => engine.listContainers([`dray.agent=${AGENT}`])
const finished = async (job: ScriptedJob) => {
  await eventually(() => job.finish !== null, { deadlineMs: 15_000, what: `${job.key.job} is finished` })
  return job.finish!
}
const gone = () =>
  eventually(async () => (await containers()).length === 0, { deadlineMs: 10_000, what: 'no container is left' })

beforeAll(async () => {
  nats = await startNats()
  controlPlane = await startScriptedControlPlane(nats)
  stateDir = await mkdtemp(path.join(tmpdir(), 'dray-agent-'))
  agent = await startAgent(config(), quiet)
})

afterEach(() => {
  controlPlane.away.clear()
})

afterAll(async () => {
  await agent.close()
  for (const { id } of await containers()) await engine.removeContainer(id)
  await controlPlane[Symbol.asyncDispose]()
  await nats[Symbol.asyncDispose]()
  await rm(stateDir, { recursive: true, force: true })
})

describe('a job', () => {
  test('goes from the command to its updates, its finish, and nothing left', async () => {
    const job = controlPlane.submit('hello', sh('echo one; echo two >&2; printf three'))
    const finish = await finished(job)
    expect(finish).toMatchObject({
      attempt: 1,
      exit: { code: 0, oom_killed: false, reason: 'exited' },
      result: {},
      updates: 5,
    })
    expect(finish.image_digest).toMatch(/^sha256:/)
    const updates = await controlPlane.updates('hello', 5)
    expect(updates.map(({ n }) => n)).toEqual([1, 2, 3, 4, 5])
    expect(updates.slice(0, 2)).toMatchObject([
      { phase: 'creating', status: 'starting' },
      { phase: 'running', status: 'running' },
    ])
    expect(updates.filter(({ stream }) => stream === 'stdout')).toMatchObject([
      { content: 'one' },
      { content: 'three', eol: false },
    ])
    expect(updates.filter(({ stream }) => stream === 'stderr')).toMatchObject([{ content: 'two' }])
    await gone()
  })

  test('gets its input and its environment, and gives its result', async () => {
    const line = '{"type":"job_update","status":"completed","result":{"out":["hi"]},"job_id":"theirs"}'
    const job = controlPlane.submit('request', {
      ...sh(`read first; test "$first" = "{" && test "$A" = job && cat >/dev/null && echo '${line}'`),
      request: { env: { A: 'request' } },
      env: { A: 'job' },
    })
    expect(await finished(job)).toMatchObject({ exit: { code: 0 }, result: { out: ['hi'] } })
    const updates = await controlPlane.updates('request', 3)
    expect(updates.at(-1)).toMatchObject({
      status: 'running',
      container_status: 'completed',
      job_id: 'request',
      container_job_id: 'theirs',
    })
  })

  test.each([
    [
      'exit 3',
      { exit: { code: 3, reason: 'exited' }, error: { code: 'exit_nonzero', message: 'why' } },
      'echo why >&2; exit 3',
    ],
    ['a command that is missing', { exit: { code: 127 }, error: { code: 'start_failed' } }, null],
  ])('fails with %s', async (name, expected, script) => {
    const body = script === null ? { image, command: ['/no/such'], network: 'none' as const } : sh(script)
    const job = controlPlane.submit(`fails-${name.replaceAll(' ', '-')}`, body)
    expect(await finished(job)).toMatchObject(expected)
    await gone()
  })

  test('fails with an image that is not there and may not be pulled', async () => {
    const job = controlPlane.submit('no-image', { image: 'nowhere/none:1', pull: 'never' })
    expect(await finished(job)).toMatchObject({
      exit: { code: null },
      error: { code: 'image_not_found' },
      started_at: null,
    })
  })

  test('is cancelled with its grace, which a second cancel shortens', async () => {
    const job = controlPlane.submit('cancel', sh('trap "" TERM; echo up; while true; do sleep 0.1; done'))
    await controlPlane.updates('cancel', 3)
    job.want = 'cancel'
    job.graceSeconds = 60
    await eventually(() => controlPlane.beats.length > 0)
    job.graceSeconds = 0.3
    expect(await finished(job)).toMatchObject({ exit: { code: 137, signal: 'SIGKILL', reason: 'cancelled' } })
    await gone()
  })

  test('ends at its time-out, by its stop signal', async () => {
    const job = controlPlane.submit('timeout', { ...sh('sleep 60'), timeout_seconds: 1 })
    expect(await finished(job)).toMatchObject({
      exit: { code: 143, signal: 'SIGTERM', reason: 'timeout' },
      error: { code: 'timeout' },
    })
  })

  test('ends at its output limit', async () => {
    const job = controlPlane.submit('chatty', sh('yes'), {
      grant: { limits: { output_bytes: 100_000, line_bytes: 8 * 2 ** 20 } },
    })
    expect(await finished(job)).toMatchObject({ exit: { reason: 'output_limit' }, error: { code: 'output_limit' } })
    await gone()
  })

  test('of attempt 2 starts only when its first update is stored', async () => {
    await nats.kill()
    const job = controlPlane.submit('second', sh('true'), { attempt: 2, wake: false })
    const created = async () => (await containers()).some(({ state }) => state === 'created')
    // Its claim asks NATS where the attempt stands, so the container can only come after NATS.
    await eventually(() => job.claims > 0)
    expect(await created()).toBe(false)
    await nats.start()
    expect(await finished(job)).toMatchObject({ attempt: 2, exit: { code: 0 } })
    await gone()
  })

  test('is dropped without a finish when it is stopped', async () => {
    const job = controlPlane.submit('fenced', sh('sleep 60'))
    await controlPlane.updates('fenced', 2)
    job.want = 'stop'
    await gone()
    expect(job.finish).toBeNull()
  })

  test('is claimed by the heartbeat where the command was lost', async () => {
    const job = controlPlane.submit('quiet', sh('true'), { wake: false })
    expect(await finished(job)).toMatchObject({ exit: { code: 0 } })
  })
})

describe('with parts away', () => {
  test('finishes while NATS is away, with N, and publishes everything later', async () => {
    const job = controlPlane.submit(
      'offline',
      sh('echo first; sleep 1; i=0; while [ $i -lt 3000 ]; do echo line $i; i=$((i+1)); done'),
    )
    await controlPlane.updates('offline', 3)
    await nats.kill()
    expect(await finished(job)).toMatchObject({ exit: { code: 0 }, updates: 3003 })
    expect(await containers()).toHaveLength(1)
    await eventually(() => expect(controlPlane.held()).toMatchObject([{ job: 'offline', phase: 'finished' }]))
    await nats.start()
    const updates = await controlPlane.updates('offline', 3003)
    expect(updates.map(({ n }) => n)).toEqual(Array.from({ length: 3003 }, (_, index) => index + 1))
    expect(updates.slice(3).map(({ content }) => content)).toEqual(
      Array.from({ length: 3000 }, (_, index) => `line ${index}`),
    )
    await gone()
  })

  test('keeps nothing in memory while NATS is away: the rest comes from Docker’s log', async () => {
    const job = controlPlane.submit(
      'spill',
      sh(
        'echo first; sleep 1; i=0; while [ $i -lt 200 ]; do head -c 60000 /dev/zero | tr "\\0" x; echo " $i"; i=$((i+1)); done',
      ),
    )
    await controlPlane.updates('spill', 3)
    await nats.kill()
    expect(await finished(job)).toMatchObject({ updates: 203 })
    await nats.start()
    const updates = await controlPlane.updates('spill', 203)
    expect(updates.slice(3).map(({ content }) => (content as string).split(' ')[1])).toEqual(
      Array.from({ length: 200 }, (_, index) => String(index)),
    )
    await gone()
  })

  test('finishes when the control plane is back', async () => {
    const job = controlPlane.submit('finish-away', sh('true'))
    await controlPlane.updates('finish-away', 2)
    controlPlane.away.add('finish')
    controlPlane.away.add('heartbeat')
    await eventually(async () => (await containers()).some(({ state }) => state === 'exited') || job.finish !== null)
    controlPlane.away.clear()
    expect(await finished(job)).toMatchObject({ exit: { code: 0 } })
    await gone()
  })
})

describe('a restart of the agent', () => {
  test('follows the container on, every line once', async () => {
    const job = controlPlane.submit(
      'adopted',
      sh('i=0; while [ $i -lt 40 ]; do echo line $i; i=$((i+1)); sleep 0.05; done; exit 4'),
    )
    await controlPlane.updates('adopted', 6)
    await agent.close()
    expect((await containers()).map(({ state }) => state)).toEqual(['running'])
    agent = await startAgent(config(), quiet)
    expect(await finished(job)).toMatchObject({ exit: { code: 4, reason: 'exited' }, updates: 42 })
    const updates = await controlPlane.updates('adopted', 42)
    expect(updates.map(({ n }) => n)).toEqual(Array.from({ length: 42 }, (_, index) => index + 1))
    expect(updates.slice(2).map(({ content }) => content)).toEqual(
      Array.from({ length: 40 }, (_, index) => `line ${index}`),
    )
    await gone()
  })

  test('finds a container that ended meanwhile, and removes one that does not count', async () => {
    const ended = controlPlane.submit('ended', sh('echo a; sleep 1; echo b; exit 5'))
    const stopped = controlPlane.submit('stopped', sh('sleep 60'))
    await controlPlane.updates('ended', 3)
    await controlPlane.updates('stopped', 2)
    await agent.close()
    stopped.want = 'stop'
    await eventually(async () => (await containers()).some(({ state }) => state === 'exited'), { deadlineMs: 10_000 })
    agent = await startAgent(config(), quiet)
    expect(await finished(ended)).toMatchObject({ exit: { code: 5 }, updates: 4 })
    await gone()
    expect(stopped.finish).toBeNull()
  })
})

describe('the state folder', () => {
  test('is its owner’s only, and one process’s at a time', async () => {
    expect((await stat(stateDir)).mode & 0o777).toBe(0o700)
    for (const file of ['agent.nk', 'membership.json'])
      expect((await stat(path.join(stateDir, file))).mode & 0o777).toBe(0o600)
    await expect(startAgent(config(), quiet)).rejects.toThrow('another agent process holds it')
  })
})

describe('the end', () => {
  test('drain waits for jobs and says goodbye', async () => {
    const job = controlPlane.submit('drained', sh('sleep 1'))
    await controlPlane.updates('drained', 2)
    agent.drain()
    expect(await agent.done).toBe(0)
    expect(job.finish).toMatchObject({ exit: { code: 0 } })
    expect(controlPlane.left).toBe(true)
    agent = await startAgent(config(), quiet)
  })

  test('a superseded process ends with a code of its own and touches nothing', async () => {
    const job = controlPlane.submit('kept', sh('sleep 2'))
    await controlPlane.updates('kept', 2)
    controlPlane.superseded = true
    expect(await agent.done).toBe(SUPERSEDED_EXIT_CODE)
    expect((await containers()).map(({ state }) => state)).toEqual(['running'])
    controlPlane.superseded = false
    agent = await startAgent(config(), quiet)
    expect(await finished(job)).toMatchObject({ exit: { code: 0 } })
    await gone()
  })
})
