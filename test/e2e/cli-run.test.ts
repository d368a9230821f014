// `dray run` as a process against a real stack: streams byte for byte, exit codes, Ctrl-C. docker's habits where it has them.

import { createHash } from 'node:crypto'
import { afterAll, beforeAll, describe, expect, inject, it } from 'vitest'
import { runCli, startCli, startUp, type CliResult, type RunningUp } from '../support/cli-process.ts'
import { eventually } from '../support/eventually.ts'

let up: RunningUp
beforeAll(async () => {
  up = await startUp()
})
afterAll(async () => void (await up.stop()))

const busybox = inject('busyboxImage')
const small = ['-m', '64m', '--cpus', '0.5', '--network', 'none']
const dray = (...args: string[]): Promise<CliResult> => runCli(args, up.env)
const run = (script: string, ...flags: string[]): Promise<CliResult> =>
  dray('run', ...small, ...flags, busybox, '--', 'sh', '-c', script)

describe('run', () => {
  it('gives stdout, stderr and the exit code of the container', async () => {
    const { code, stdout, stderr } = await run('echo out; echo err >&2; exit 3')
    expect({ code, stdout: stdout.toString() }).toEqual({ code: 3, stdout: 'out\n' })
    expect(stderr).toMatch(/^err$/m)
    expect(stderr).toContain('exit code 3')
  })

  it('gives back every byte: no last newline, blank lines, carriage returns, JSON, bytes that are no UTF-8', async () => {
    const { stdout } = await run(
      String.raw`printf '\n\na\r\n{"type":"node_update","node_id":"n"}\n\377\376\000\n\303\251 end'`,
    )
    const expected = Buffer.concat([
      Buffer.from('\n\na\r\n{"type":"node_update","node_id":"n"}\n'),
      Buffer.from([255, 254, 0, 10]),
      Buffer.from('é end'),
    ])
    expect(stdout).toEqual(expected)
  })

  it('gives back a megabyte of random bytes', async () => {
    const { code, stdout } = await run(
      'head -c 1000000 /dev/urandom > /tmp/r; sha256sum < /tmp/r >&2; cat /tmp/r',
      '--json',
    )
    expect(code).toBe(0)
    const parts = stdout
      .toString()
      .split('\n')
      .filter(Boolean)
      .map((line) => JSON.parse(line) as Record<string, unknown>)
    expect(parts.length).toBeGreaterThan(3)
    const raw = await run('head -c 1000000 /dev/urandom > /tmp/r; sha256sum < /tmp/r >&2; cat /tmp/r')
    expect(raw.stderr).toContain(createHash('sha256').update(raw.stdout).digest('hex'))
  })

  it('-i sends stdin, -e sets environment, -w and --entrypoint mean what docker means', async () => {
    const sent = await runCli(
      [
        'run',
        ...small,
        '-i',
        '-e',
        'A=1',
        '-e',
        'FROM_HERE',
        '-w',
        '/tmp',
        '--entrypoint',
        'sh',
        busybox,
        '--',
        '-c',
        'cat; echo $A $FROM_HERE $PWD',
      ],
      { ...up.env, FROM_HERE: 'yes' },
      Buffer.from([1, 2, 255, 10]),
    )
    expect(sent.stdout).toEqual(Buffer.concat([Buffer.from([1, 2, 255, 10]), Buffer.from('1 yes /tmp\n')]))
  })

  it('-d prints only the id; wait, show, logs, ps and retry know it', async () => {
    const detached = await run('echo hello; echo oops >&2; exit 4', '-d', '--name', 'mine', '-l', 'team=a')
    const id = detached.stdout.toString().trim()
    expect(detached.stdout.toString()).toBe(`${id}\n`)
    expect(id).toMatch(/^job_/)
    expect((await dray('wait', id)).code).toBe(4)
    const logs = await dray('logs', id)
    expect(logs.code).toBe(0)
    expect(logs.stdout.toString()).toContain('hello\n')
    expect(logs.stderr).toContain('oops\n')
    expect((await dray('show', id)).stdout.toString()).toContain('exit_nonzero')
    expect(JSON.parse((await dray('show', id, '--json')).stdout.toString())).toMatchObject({
      id,
      name: 'mine',
      labels: { team: 'a' },
    })
    expect((await dray('ps', '-a', '-q', '-l', 'team=a')).stdout.toString()).toBe(`${id}\n`)
    const again = (await dray('retry', id)).stdout.toString().trim()
    expect(again).not.toBe(id)
    expect((await dray('wait', id, again)).code).toBe(4)
  })

  it.each([
    ['a time-out', 124, ['--timeout', '1', '--stop-timeout', '1'], 'sleep 60'],
    ['a missing program', 127, [], 'exec /no/such/program'],
    ['success', 0, [], 'true'],
  ])('ends with the code of %s: %i', async (_, code, flags, script) => {
    expect((await run(script, ...flags)).code).toBe(code)
  })

  it('ends with 125 when the image cannot be had, 2 for wrong use, and says why', async () => {
    const missing = await dray('run', '--pull', 'never', 'no-such-image:1')
    expect(missing.code).toBe(125)
    expect(missing.stderr).toContain('image_not_found')
    const refused = await dray('run', '-m', 'lots', busybox)
    expect(refused.code).toBe(125)
    expect(refused.stderr).toContain('memory')
    const wrong = await dray('run', '--no-such-flag', busybox)
    expect({ code: wrong.code, stdout: wrong.stdout.toString() }).toEqual({ code: 2, stdout: '' })
  })

  it('Ctrl-C cancels with grace and goes on showing; two signals at once are one', async () => {
    const cli = startCli(
      [
        'run',
        ...small,
        busybox,
        '--',
        'sh',
        '-c',
        'trap "echo bye; exit 9" TERM; echo ready; while :; do sleep 0.1; done',
      ],
      up.env,
    )
    await eventually(() => cli.stdout().toString().includes('ready'), { deadlineMs: 20_000, what: 'the job prints' })
    cli.process.kill('SIGINT')
    cli.process.kill('SIGINT')
    expect(await cli.exit).toBe(130)
    expect(cli.stdout().toString()).toBe('ready\nbye\n')
  })

  it('a second Ctrl-C kills', async () => {
    const cli = startCli(
      [
        'run',
        ...small,
        '--stop-timeout',
        '60',
        busybox,
        '--',
        'sh',
        '-c',
        'trap "" TERM; echo ready; while :; do sleep 0.1; done',
      ],
      up.env,
    )
    await eventually(() => cli.stdout().toString().includes('ready'), { deadlineMs: 20_000, what: 'the job prints' })
    cli.process.kill('SIGINT')
    await eventually(() => cli.stderr().includes('stopping the job'), { what: 'the first press is taken' })
    // Half a second later it is a press of its own.
    await eventually(
      () => {
        cli.process.kill('SIGINT')
        return cli.stderr().includes('killing the job')
      },
      { everyMs: 600, what: 'the second press is taken' },
    )
    expect(await cli.exit).toBe(130)
  })

  it('loses and repeats no line when the control plane and NATS are killed meanwhile', async () => {
    const script = 'i=1; while [ $i -le 80 ]; do echo line $i; i=$((i+1)); sleep 0.1; done'
    const cli = startCli(['run', ...small, busybox, '--', 'sh', '-c', script], up.env)
    const printed = (text: string) => () => cli.stdout().toString().includes(`${text}\n`)
    await eventually(printed('line 10'), { deadlineMs: 20_000, what: 'the job prints' })
    process.kill((await up.pids())['control-plane']!, 'SIGKILL')
    await eventually(printed('line 40'), { deadlineMs: 20_000, what: 'the job goes on to print' })
    process.kill((await up.pids())['nats']!, 'SIGKILL')
    expect(await cli.exit).toBe(0)
    expect(cli.stdout().toString()).toBe(Array.from({ length: 80 }, (_, at) => `line ${at + 1}\n`).join(''))
  })
})
