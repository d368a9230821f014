// The command line as people and scripts use it, as a process against a real stack: submit, logs, attach, cancel, agents,
// token, image verify, doctor. `run` has a file of its own.

import { execFile } from 'node:child_process'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { promisify } from 'node:util'
import { afterAll, beforeAll, describe, expect, inject, it } from 'vitest'
import { isTerminalUpdate, type Frame } from '../../shared/update.ts'
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

const examples = path.join(import.meta.dirname, '..', '..', 'examples')
const busybox = inject('busyboxImage')
const small = ['-m', '64m', '--cpus', '0.5', '--network', 'none']
const dray = (...args: string[]): Promise<CliResult> => runCli(args, up.env)
const run = (script: string, ...flags: string[]): Promise<CliResult> =>
  dray('run', ...small, ...flags, busybox, '--', 'sh', '-c', script)

describe('submit', () => {
  it('takes a RunJobRequest from a file or stdin; --wait shows typed updates and ends with its code', async () => {
    const file = path.join(examples, 'hello.json')
    const waited = await dray('submit', file, '--wait')
    expect(waited.code).toBe(0)
    expect(waited.stdout.toString()).toContain('Hello, World')
    const json = await dray('submit', file, '--wait', '--json')
    const frames = json.stdout
      .toString()
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line) as Frame)
    expect(frames.every((frame) => 'seq' in frame)).toBe(true)
    expect(isTerminalUpdate(frames.at(-1)!)).toBe(true)
  })

  it('takes a submit body; --idempotency-key gives the same job again; a wrong body is one sentence', async () => {
    const file = path.join(dir, 'job.json')
    await writeFile(
      file,
      JSON.stringify({ image: busybox, command: ['true'], network: 'none', resources: { memory: '64m' } }),
    )
    const first = await dray('submit', file, '--idempotency-key', 'k-1')
    expect((await dray('submit', file, '--idempotency-key', 'k-1')).stdout).toEqual(first.stdout)
    const wrong = await runCli(['submit', '-'], up.env, '{"image":"alpine","comand":["x"]}')
    expect({ code: wrong.code, stdout: wrong.stdout.toString() }).toEqual({ code: 1, stdout: '' })
    expect(wrong.stderr).toContain('comand')
    expect((await runCli(['submit', '-'], up.env, 'not json')).code).toBe(2)
  })
})

describe('logs, attach, cancel, wait', () => {
  it('attach follows and ends with the job; logs -f prints the same; cancel stops it; all say 130', async () => {
    const id = (await run('i=0; while :; do echo line $i; i=$((i+1)); sleep 0.1; done', '-d')).stdout.toString().trim()
    const attached = startCli(['attach', id], up.env)
    const followed = startCli(['logs', '-f', id], up.env)
    const waited = startCli(['wait', id], up.env)
    await eventually(() => attached.stdout().toString().includes('line 3'), {
      deadlineMs: 20_000,
      what: 'lines arrive',
    })
    expect((await dray('cancel', id, '--grace', '1')).code).toBe(0)
    expect(await Promise.all([attached.exit, followed.exit, waited.exit])).toEqual([130, 0, 130])
    expect(attached.stdout()).toEqual(followed.stdout())
    expect((await dray('cancel', id)).code).toBe(0)
  })

  it('Ctrl-C in attach only stops watching', async () => {
    const id = (await run('echo up; sleep 30', '-d')).stdout.toString().trim()
    const attached = startCli(['attach', id], up.env)
    await eventually(() => attached.stdout().toString().includes('up'), { deadlineMs: 20_000, what: 'the job prints' })
    attached.process.kill('SIGINT')
    expect(await attached.exit).toBe(130)
    expect(attached.stderr()).toContain('the job goes on')
    expect(JSON.parse((await dray('show', id, '--json')).stdout.toString())).toMatchObject({ status: 'running' })
    await dray('cancel', id, '--grace', '0')
  })

  it('an unknown job is said, with the code of a failure of ours', async () => {
    expect((await dray('show', 'job_none')).code).toBe(1)
    expect((await dray('attach', 'job_none')).code).toBe(125)
    expect((await dray('logs', 'job_none')).stderr).toContain('job_none')
  })

  it('logs into a reader that goes away ends quietly', async () => {
    const id = (await run('seq 1 50000', '-d')).stdout.toString().trim()
    await dray('wait', id)
    const cli = startCli(['logs', id], up.env)
    cli.process.stdout?.once('data', () => cli.process.stdout?.destroy())
    expect(await cli.exit).toBe(0)
    expect(cli.stderr()).toBe('')
  })
})

describe('the rest', () => {
  it('agents lists, cordons and uncordons', async () => {
    const { items } = JSON.parse((await dray('agents', '--json')).stdout.toString()) as { items: { id: string }[] }
    const id = items[0]!.id
    expect((await dray('agents')).stdout.toString()).toContain(id)
    expect((await dray('agents', 'cordon', id)).stderr).toContain('cordoned')
    expect((await dray('agents', 'uncordon', id)).stderr).toContain('ready')
  })

  it('token makes a key that works and a join token', async () => {
    const key = (await dray('token', 'key', '--name', 'test')).stdout.toString().trim()
    expect((await runCli(['ps', '-a'], { ...up.env, DRAY_TOKEN: key })).code).toBe(0)
    expect((await dray('token', 'join')).stdout.toString().trim()).toMatch(/^join_/)
  })

  it('image verify accepts the workflow image and says what another lacks', async () => {
    const env = { ...up.env, DOCKER_HOST: `unix://${inject('engineSocket')}` }
    const good = await runCli(['image', 'verify', inject('workflowImage')], env)
    expect({ code: good.code, out: good.stdout.toString() }).toMatchObject({ code: 0 })
    const bad = await runCli(['image', 'verify', busybox, '--json'], env)
    expect(bad.code).toBe(1)
    expect(JSON.parse(bad.stdout.toString())).toMatchObject({ ok: false, checks: [{ ok: true }, { ok: false }] })
  })

  it('doctor finds everything well, and says what is wrong with a bad key and a dead address', async () => {
    const env = {
      ...up.env,
      DOCKER_HOST: `unix://${inject('engineSocket')}`,
      PATH: `${path.dirname(inject('natsServerPath'))}:${up.env['PATH']}`,
    }
    const well = await runCli(['doctor'], env)
    expect({ code: well.code, out: well.stdout.toString() }).toMatchObject({ code: 0 })
    const badKey = await runCli(['doctor'], { ...env, DRAY_TOKEN: 'dray_wrong' })
    expect(badKey.code).toBe(1)
    expect(badKey.stdout.toString()).toMatch(/problem\s+key/)
    const dead = await runCli(['doctor'], { ...env, DRAY_URL: 'http://127.0.0.1:9' })
    expect(dead.stdout.toString()).toMatch(/problem\s+control plane/)
  })

  it('a wrong key and an unknown command are said in one sentence', async () => {
    const wrong = await runCli(['ps'], cliEnv({ DRAY_URL: up.url, DRAY_TOKEN: 'dray_wrong' }))
    expect(wrong.code).toBe(1)
    expect(wrong.stderr.trim().split('\n')).toHaveLength(1)
    const unknown = await dray('pss')
    expect(unknown.code).toBe(2)
    expect(unknown.stderr).toContain('ps')
  })

  it('the example client runs a workflow and prints its outputs and its result', async () => {
    const { stdout } = await promisify(execFile)(process.execPath, [path.join(examples, 'client.ts')], { env: up.env })
    expect(stdout).toContain('output W_2')
    expect(stdout).toContain("result { result: [ 'W_1', 'W_2' ] }")
  })

  it('the example container counts to five', async () => {
    const { code, stdout } = await dray('submit', path.join(examples, 'container.json'), '--wait')
    expect(code).toBe(0)
    expect(stdout.toString()).toContain('node count 5/5')
  })
})
