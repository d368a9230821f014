// `dray up` and `dray demo` as processes: what they start, what they keep alive, what they leave behind (nothing).

import { existsSync } from 'node:fs'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { afterEach, beforeEach, expect, inject, test } from 'vitest'
import { isRunning, markOf, type ProcessMark } from '../../cli/supervise/running.ts'
import { createClient } from '../../shared/client/create-client.ts'
import { cliEnv, runCli, startUp, type RunningUp } from '../support/cli-process.ts'
import { eventually } from '../support/eventually.ts'

let dir: string
const started: RunningUp[] = []
beforeEach(async () => {
  dir = await mkdtemp(path.join(tmpdir(), 'dray-up-'))
})
afterEach(async () => {
  // A test that failed half-way has left them running.
  await Promise.all(started.splice(0).map((up) => up.stop()))
  await rm(dir, { recursive: true, force: true })
})

async function startHere(): Promise<RunningUp> {
  const up = await startUp({ dir })
  started.push(up)
  return up
}

const busybox = inject('busyboxImage')
const env = (): Record<string, string> =>
  cliEnv({ DOCKER_HOST: `unix://${inject('engineSocket')}`, DRAY_INTERNET_NETWORK: 'none' })
const marksOf = async (pids: Promise<Record<string, number>>): Promise<ProcessMark[]> =>
  Object.values(await pids).map(markOf)
const echo = {
  image: busybox,
  command: ['echo', 'hi'],
  resources: { memory: '64m', cpus: 0.5 },
  network: 'none' as const,
}

test('up runs a job, refuses a second one on its folder, and leaves nothing after SIGTERM', async () => {
  const up = await startHere()
  expect(Object.keys(await up.pids()).toSorted()).toEqual(['agent', 'control-plane', 'nats'])
  expect(up.cli.stdout().toString().trim().split('\n')).toHaveLength(1)
  expect(await createClient(up).result((await createClient(up).submit(echo)).id)).toEqual({})

  const second = await runCli(['up', '--state', dir, '--port', '0'], env())
  expect(second.code).toBe(1)
  expect(second.stderr).toContain('already runs')

  const marks = await marksOf(up.pids())
  expect(await up.stop()).toBe(0)
  expect(marks.filter(isRunning)).toEqual([])
  for (const name of ['up.json', 'pids.json', 'url']) expect(existsSync(path.join(dir, name))).toBe(false)
})

test('secrets are in files of mode 0600 and in no command line', async () => {
  const up = await startHere()
  const lines = await Promise.all(Object.values(await up.pids()).map((pid) => readFile(`/proc/${pid}/cmdline`, 'utf8')))
  for (const line of lines) expect(line).not.toMatch(/dray_|join_|agent_/)
  await up.stop()
})

test.each(['nats', 'control-plane', 'agent'])(
  'up starts %s again on the same port within 2 s, and jobs go on',
  async (name) => {
    const up = await startHere()
    const client = createClient(up)
    const before = (await up.pids())[name]!
    process.kill(before, 'SIGKILL')
    await eventually(async () => ((await up.pids())[name] ?? before) !== before, {
      deadlineMs: 2_000,
      what: `${name} has a new process`,
    })
    await eventually(async () => (await fetch(`${up.url}/readyz`)).ok, {
      deadlineMs: 15_000,
      what: 'it is ready again',
    })
    const job = await eventually(() => client.submit(echo), { deadlineMs: 10_000, what: 'a job is taken' })
    expect((await client.wait(job.id, { signal: AbortSignal.timeout(30_000) })).status).toBe('completed')
    expect(await up.stop()).toBe(0)
  },
)

test('when up is killed its children end by themselves, and the next one takes the folder with jobs and key', async () => {
  const first = await startHere()
  const job = await createClient(first).submit(echo)
  await createClient(first).wait(job.id)
  const marks = await marksOf(first.pids())
  first.cli.process.kill('SIGKILL')
  await eventually(() => marks.filter(isRunning).length === 0, { deadlineMs: 12_000, what: 'the children have ended' })

  const second = await startHere()
  expect({ url: second.url, token: second.token }).toEqual({ url: first.url, token: first.token })
  expect((await createClient(second).show(job.id)).status).toBe('completed')
  expect(await second.stop()).toBe(0)
})

test('a port that is taken, a port that is none and a folder that cannot be made are one sentence', async () => {
  const up = await startHere()
  const other = path.join(dir, 'other')
  const taken = await runCli(['up', '--state', other, '--port', new URL(up.url).port], env())
  expect(taken.code).toBe(1)
  expect(taken.stderr).toContain('in use')
  expect((await runCli(['up', '--state', other, '--port', '99999'], env())).code).toBe(2)
  const impossible = await runCli(['up', '--state', '/dev/null/dray', '--port', '0'], env())
  expect(impossible.code).toBe(1)
  expect(impossible.stderr).not.toContain('    at ')
  await up.stop()
})

test('demo shows updates and results of both workflows, exits 0 and stops what it started; it uses an `up` that runs', async () => {
  const demo = await runCli(['demo', '--state', dir], env())
  expect({ code: demo.code, err: demo.stderr }).toMatchObject({ code: 0 })
  const out = demo.stdout.toString()
  for (const text of ['hello.json', 'stream.json', 'Hello, World', 'node ', 'edge ', 'output ', 'result', 'completed'])
    expect(out).toContain(text)
  expect(existsSync(path.join(dir, 'pids.json'))).toBe(false)

  const up = await startHere()
  const again = await runCli(['demo', '--state', dir], env())
  expect(again.code).toBe(0)
  expect(again.stderr).toContain('runs already')
  expect(Object.keys(await up.pids())).toHaveLength(3)
  await up.stop()
})
