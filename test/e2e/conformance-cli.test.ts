// The command line's sentences that no other file proves: words after the image, docker's flags, typed updates, exit codes of
// several jobs, Ctrl-C while watching, `--json` everywhere, and commands that never ask anybody anything.
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { afterAll, beforeAll, describe, expect, inject, it } from 'vitest'
import type { JobView } from '../../shared/job.ts'
import { cliEnv, runCli, startCli, startUp, type CliResult, type RunningUp } from '../support/cli-process.ts'
import { eventually } from '../support/eventually.ts'

let up: RunningUp
let dir: string
beforeAll(async () => {
  up = await startUp()
  dir = await mkdtemp(path.join(tmpdir(), 'dray-cli-'))
})
afterAll(async () => {
  await up.stop()
  await rm(dir, { recursive: true, force: true })
})

const MAIN = path.join(import.meta.dirname, '..', '..', 'cli', 'main.ts')
const busybox = inject('busyboxImage')
const small = ['-m', '64m', '--cpus', '0.5', '--network', 'none']
const dray = (...args: string[]): Promise<CliResult> => runCli(args, up.env)
const outOf = async (...args: string[]): Promise<string> => (await dray(...args)).stdout.toString()
const jsonOf = async (...args: string[]): Promise<unknown> => JSON.parse(await outOf(...args)) as unknown
const detached = async (script: string, ...flags: string[]): Promise<string> =>
  (await outOf('run', ...small, ...flags, '-d', busybox, '--', 'sh', '-c', script)).trim()
const api = async (route: string): Promise<unknown> =>
  (await fetch(`${up.url}${route}`, { headers: { authorization: `Bearer ${up.token}` } })).json()
/** Clients that follow some job now. */
const watchers = async (): Promise<number> => {
  const answer = await fetch(`${up.url}/metrics`, { headers: { authorization: `Bearer ${up.token}` } })
  return Number(/^dray_relay_clients (\d+)$/m.exec(await answer.text())?.[1])
}

describe('run', () => {
  it.each([[['--', 'echo', 'hi']], [['echo', 'hi']]])(
    'takes the command from %j, without the dashes that part it from the options',
    async (words) => {
      const { code, stdout } = await dray('run', ...small, busybox, ...words)
      expect({ code, out: stdout.toString() }).toEqual({ code: 0, out: 'hi\n' })
    },
  )

  it('gives every later word to the container, options and a second -- too', async () => {
    expect(await outOf('run', ...small, busybox, '--', 'echo', '-d', '--', '--json')).toBe('-d -- --json\n')
  })

  it('takes docker’s flags and its own, and all of them are in the job', async () => {
    const flags =
      '-e A=1 --env B=2 -m 64m --cpus 0.5 --gpus 1 --name mine --network none --user 1:2 -w /tmp --entrypoint sh --pull never --read-only --stop-timeout 3 --label team=a --timeout 90s --retries 2 --priority low --pool nobody'
    const id = (await outOf('run', ...flags.split(' '), '-d', busybox, '--', '-c', 'true')).trim()
    expect(((await api(`/v1/jobs/${id}`)) as JobView).spec).toMatchObject({
      image: busybox,
      command: ['-c', 'true'],
      entrypoint: ['sh'],
      env: { A: '1', B: '2' },
      resources: { memory: 64 * 2 ** 20, cpus: 0.5, gpus: 1 },
      name: 'mine',
      network: 'none',
      user: '1:2',
      workdir: '/tmp',
      pull: 'never',
      read_only: true,
      stop_grace_seconds: 3,
      labels: { team: 'a' },
      timeout_seconds: 90,
      retries: { max_attempts: 3 },
      priority: 'low',
      pool: 'nobody',
      parse_updates: false,
    })
    await dray('cancel', id)
  })

  it('says what is ours on stderr only; --updates shows typed updates as text, --json as JSON Lines without state frames', async () => {
    const line = '{"type":"node_update","node_id":"n1","node_name":"Format","status":"completed"}'
    const words = [busybox, '--', 'sh', '-c', `echo plain; echo '${line}'`]
    const raw = await dray('run', ...small, ...words)
    expect(raw.stdout.toString()).toBe(`plain\n${line}\n`)
    expect(raw.stderr).toMatch(/^dray: job job_\w+$/m)
    const typed = await outOf('run', ...small, '--updates', ...words)
    expect(typed).toContain('plain\n')
    expect(typed).toContain('node Format completed\n')
    const frames = (await outOf('run', ...small, '--json', ...words)).trim().split('\n')
    const types = frames.map((text) => JSON.parse(text) as { type: string; seq?: number })
    expect(types.every(({ seq }) => Number.isSafeInteger(seq))).toBe(true)
    expect(types.map(({ type }) => type)).toEqual(expect.arrayContaining(['log_update', 'node_update', 'job_update']))
  })

  it('ends with 126 where the command cannot be run, and 130 where the job is cancelled', async () => {
    expect((await dray('run', ...small, busybox, '--', '/etc/passwd')).code).toBe(126)
    const cli = startCli(['run', ...small, busybox, '--', 'sh', '-c', 'echo up; sleep 60'], up.env)
    await eventually(() => cli.stdout().toString().includes('up'), { deadlineMs: 20_000, what: 'the job prints' })
    const id = /job (job_\w+)/.exec(cli.stderr())?.[1] ?? ''
    expect((await dray('cancel', id, '--grace', '1')).code).toBe(0)
    expect(await cli.exit).toBe(130)
  })
})

describe('watching', () => {
  it('wait of several ends with the highest of their codes', async () => {
    const [three, zero] = await Promise.all([detached('exit 3'), detached('true')])
    expect((await dray('wait', three, zero)).code).toBe(3)
    expect((await dray('wait', zero, three)).code).toBe(3)
    expect((await dray('wait', zero)).code).toBe(0)
    expect((await dray('attach', three)).code).toBe(3)
  })

  it('Ctrl-C in logs -f and wait only stops watching', async () => {
    const id = await detached('echo up; sleep 60')
    const [logs, wait] = [startCli(['logs', '-f', id], up.env), startCli(['wait', id], up.env)]
    await eventually(() => logs.stdout().toString().includes('up'), { deadlineMs: 20_000, what: 'the job prints' })
    await eventually(async () => (await watchers()) === 2, { what: 'both are connected' })
    logs.process.kill('SIGINT')
    wait.process.kill('SIGINT')
    expect(await Promise.all([logs.exit, wait.exit])).toEqual([0, 130])
    expect(await api(`/v1/jobs/${id}`)).toMatchObject({ status: 'running', cancel_requested: false })
    await dray('cancel', id, '--grace', '0')
  })

  it('logs --json prints frames, state frames left out', async () => {
    const id = await detached('echo a; echo b')
    await dray('wait', id)
    const page = (await api(`/v1/jobs/${id}/updates`)) as { updates: unknown[] }
    const lines = (await outOf('logs', id, '--json')).trim().split('\n')
    expect(lines.map((line) => JSON.parse(line) as unknown)).toEqual(page.updates)
  })
})

describe('--json', () => {
  it('prints the API’s answer for ps, show, wait, cancel, retry, agents, token and submit', async () => {
    const id = await detached('true', '--label', 'by=json')
    expect(await jsonOf('wait', id, '--json')).toEqual(await api(`/v1/jobs/${id}`))
    expect(await jsonOf('show', id, '--json')).toEqual(await api(`/v1/jobs/${id}`))
    expect(await jsonOf('ps', '-a', '-l', 'by=json', '--json')).toEqual(await api('/v1/jobs?label=by:json'))
    const retried = (await jsonOf('retry', id, '--json')) as JobView
    expect(retried).toMatchObject({ retry_of: id })
    await dray('wait', retried.id)
    const waiting = (await outOf('run', '-d', '--pool', 'nobody', busybox)).trim()
    expect(await jsonOf('cancel', waiting, '--json')).toMatchObject({ id: waiting, status: 'cancelled' })
    expect(await jsonOf('agents', '--json')).toMatchObject({ items: [{ state: 'ready' }], cursor: null })
    expect(await jsonOf('token', 'join', '--json')).toMatchObject({ id: expect.any(String), token: expect.any(String) })
    const body = JSON.stringify({ image: busybox, pool: 'nobody' })
    const submitted = await runCli(['submit', '-', '--json'], up.env, body)
    expect(JSON.parse(submitted.stdout.toString())).toMatchObject({ status: 'starting', spec: { pool: 'nobody' } })
    const plain = await runCli(['submit', '-'], up.env, body)
    expect(plain.stdout.toString()).toMatch(/^job_\w+\n$/)
  })
})

describe('a command', () => {
  it('never asks without a terminal: it ends although its stdin stays open and silent', async () => {
    for (const args of [
      ['ps'],
      ['token', 'key'],
      ['agents'],
      ['show', 'job_none'],
      ['cancel', 'job_none'],
      ['run', '-d', busybox],
    ]) {
      const child = spawn(process.execPath, [MAIN, ...args], { env: up.env, stdio: ['pipe', 'ignore', 'ignore'] })
      const [code] = (await once(child, 'close', { signal: AbortSignal.timeout(10_000) })) as [number]
      expect([args.join(' '), code]).toEqual([args.join(' '), args.includes('job_none') ? 1 : 0])
    }
  })

  it('ends with 2 where it is used wrongly, with 1 where it failed', async () => {
    for (const args of [
      ['run'],
      ['ps', '--status', 'nope'],
      ['submit', '/no/such/file'],
      ['wait'],
      ['token', 'key', '--role', 'king'],
    ])
      expect([args.join(' '), (await dray(...args)).code]).toEqual([args.join(' '), 2])
    const gone = { ...up.env, DRAY_URL: 'http://127.0.0.1:9' }
    expect((await runCli(['ps'], gone)).code).toBe(1)
  })
})

describe('up', () => {
  it('prints a token that is an admin’s of tenant default', async () => {
    const { items } = (await api('/v1/keys')) as { items: { role: string; tenant: string }[] }
    expect(items).toContainEqual(expect.objectContaining({ role: 'admin', tenant: 'default' }))
    expect(await api('/v1/jobs?limit=1')).toMatchObject({ items: [{ tenant: 'default' }] })
  })
})

describe('agent', () => {
  it('joins with the flags it was given, again from its state folder without a token, and can be drained', async () => {
    const state = path.join(dir, 'agent')
    const env = cliEnv({ DOCKER_HOST: `unix://${inject('engineSocket')}`, DRAY_INTERNET_NETWORK: 'none' })
    const place = ['--url', up.url, '--state', state, '--name', 'by-flag', '--pool', 'flags', '--label', 'zone=b']
    const token = (await outOf('token', 'join')).trim()
    const listed = (state_: string): Promise<Record<string, unknown>> =>
      eventually(
        async () => {
          const { items } = (await api('/v1/agents')) as { items: Record<string, unknown>[] }
          const found = items.find((agent) => agent['name'] === 'by-flag' && agent['state'] === state_)
          if (!found) throw new Error('it is not listed so')
          return found
        },
        { deadlineMs: 15_000, what: `the agent is ${state_}` },
      )
    const first = startCli(['agent', ...place, '--join-token', token], env)
    const agent = await listed('ready')
    expect(agent).toMatchObject({ pool: 'flags', labels: { zone: 'b' } })
    first.process.kill('SIGTERM')
    expect(await first.exit).toBe(0)
    await listed('lost')
    const second = startCli(['agent', ...place], env)
    expect((await listed('ready'))['id']).toBe(agent['id'])
    expect((await dray('agents', 'drain', String(agent['id']))).stderr).toContain('draining')
    await listed('draining')
    second.process.kill('SIGTERM')
    expect(await second.exit).toBe(0)
    const stranger = await runCli(['agent', '--url', up.url, '--state', path.join(dir, 'other')], env)
    expect(stranger.code).not.toBe(0)
    expect(stranger.stderr).toMatch(/join/i)
  })
})

describe('control-plane', () => {
  it('runs a control plane until SIGTERM', async () => {
    const env = cliEnv({
      DRAY_PORT: '0',
      DRAY_STATE_DIR: path.join(dir, 'plane'),
      DRAY_NATS_URLS: 'nats://127.0.0.1:1',
    })
    const plane = startCli(['control-plane'], env)
    const { url } = await eventually(() => JSON.parse(plane.stdout().toString()) as { url: string }, {
      deadlineMs: 15_000,
      what: 'it says where it is',
    })
    expect((await fetch(`${url}/healthz`)).status).toBe(200)
    plane.process.kill('SIGTERM')
    expect(await plane.exit).toBe(0)
  })
})
