// What a container finds inside: limits, environment, isolation. Read from within the container.
import { afterAll, beforeAll, describe, expect, inject, it } from 'vitest'
import type { SubmitBody } from '../../shared/job-spec.ts'
import { outputOf, runToEnd, shell, SMALL } from '../support/jobs.ts'
import { startStack, type Stack } from '../support/stack.ts'

let stack: Stack
beforeAll(async () => {
  stack = await startStack({
    agents: 1,
    agentEnv: {
      OPENAI_API_KEY: 'from-agent',
      HF_TOKEN: 'hf-agent',
      OWN_SETTING: 'own',
      DRAY_PASS_ENV: 'OWN_SETTING,SERVER_AUTH_TOKEN',
      SERVER_AUTH_TOKEN: 'never',
      SECRETS_MASTER_KEY: 'never',
      GITHUB_CLIENT_SECRET: 'never',
      DOCKER_MEM_LIMIT: '96m',
      DOCKER_CPU_LIMIT: '0.5',
    },
    controlPlaneEnv: { DRAY_MAX_MEMORY: '1g', DRAY_MAX_CPUS: '2' },
  })
})
afterAll(() => stack.close())

const image = inject('busyboxImage')
const run = async (script: string, more: SubmitBody = {}): Promise<string> => {
  const { updates, terminal } = await runToEnd(stack.client, shell(image, script, more))
  expect(terminal.status, JSON.stringify(terminal.error)).toBe('completed')
  return outputOf(updates, 'stdout').toString()
}
/** The same file under cgroup version 1 and 2. */
const cgroup = (v1: string, v2: string): string => `cat /sys/fs/cgroup/${v1} 2>/dev/null || cat /sys/fs/cgroup/${v2}`

describe('limits, read from inside the container', () => {
  it("memory is the agent's DOCKER_MEM_LIMIT, or the job's own", async () => {
    const read = cgroup('memory/memory.limit_in_bytes', 'memory.max')
    expect(await run(read, { resources: {} })).toBe(`${96 * 2 ** 20}\n`)
    expect(await run(read, { resources: { memory: '64m' } })).toBe(`${64 * 2 ** 20}\n`)
    expect(await run(read, { resources: { memory: '200m' } })).toBe(`${200 * 2 ** 20}\n`)
  })

  it('CPUs and pids', async () => {
    const cpu = `${cgroup('cpu/cpu.cfs_quota_us', 'cpu.max')}; ${cgroup('pids/pids.max', 'pids.max')}`
    const [quota, pids] = (await run(cpu, { resources: { ...SMALL, cpus: 0.25, pids: 40 } })).trim().split('\n')
    expect(quota?.split(' ')[0]).toBe('25000')
    expect(pids).toBe('40')
  })

  it('resource_limits of a request are stricter than resources where they are', async () => {
    const request = { resource_limits: { memory_mb: 32, max_processes: 33, open_files: 77, file_size_mb: 1 } }
    const script = `${cgroup('memory/memory.limit_in_bytes', 'memory.max')}; ${cgroup('pids/pids.max', 'pids.max')}; ulimit -n; ulimit -f`
    expect((await run(script, { request, resources: { memory: '64m', cpus: 0.5 } })).trim().split('\n')).toEqual([
      String(32 * 2 ** 20),
      '33',
      '77',
      '2048',
    ])
  })

  it('shm and tmpfs have their sizes', async () => {
    const out = await run('df -k /dev/shm /scratch | tail -n +2', {
      resources: { ...SMALL, shm: '8m', tmpfs: { '/scratch': '4m' } },
    })
    expect(out).toMatch(/\b8192\b[^\n]*\/dev\/shm/)
    expect(out).toMatch(/\b4096\b[^\n]*\/scratch/)
  })

  it('a full tmpfs is the job’s own trouble: it fails by itself, and the agent runs the next one', async () => {
    const fill = 'head -c 16m /dev/zero > /scratch/all || exit 7'
    const resources = { ...SMALL, tmpfs: { '/scratch': '4m' } }
    const { terminal } = await runToEnd(stack.client, shell(image, fill, { resources }))
    expect(terminal).toMatchObject({ status: 'error', error: { code: 'exit_nonzero' }, exit: { code: 7 } })
    expect(await run('echo next')).toBe('next\n')
  })

  it('no capability, no new privileges, seccomp on', async () => {
    const status = await run('grep -E "^(CapEff|CapBnd|NoNewPrivs|Seccomp):" /proc/self/status')
    expect(status).toMatch(/CapEff:\s+0+\n/)
    expect(status).toMatch(/CapBnd:\s+0+\n/)
    expect(status).toMatch(/NoNewPrivs:\s+1/)
    expect(status).toMatch(/Seccomp:\s+2/)
  })

  it('a read-only root with a writable /tmp', async () => {
    expect(
      await run('touch /x 2>/dev/null && echo root-written; touch /tmp/x && echo tmp-written', { read_only: true }),
    ).toBe('tmp-written\n')
  })

  it('user and working directory', async () => {
    expect(await run('id -u; id -g; pwd', { user: '1234:1235', workdir: '/tmp' })).toBe('1234\n1235\n/tmp\n')
  })

  it('network none has the loopback only', async () => {
    expect((await run('ls /sys/class/net', { network: 'none' })).trim()).toBe('lo')
  })

  it("a value above the operator's maximum is refused, naming it", async () => {
    await expect(stack.client.submit(shell(image, 'true', { resources: { memory: '2g' } }))).rejects.toMatchObject({
      status: 400,
      message: expect.stringMatching(/1g|DRAY_MAX_MEMORY/),
    })
    await expect(stack.client.submit(shell(image, 'true', { resources: { cpus: 3 } }))).rejects.toMatchObject({
      status: 400,
    })
  })
})

describe('environment', () => {
  const env = async (body: SubmitBody): Promise<Map<string, string>> => {
    const lines = (await run('env', body)).trim().split('\n')
    return new Map(lines.map((line) => [line.slice(0, line.indexOf('=')), line.slice(line.indexOf('=') + 1)]))
  }

  it("passes the agent's known settings and DRAY_PASS_ENV, never its own secrets", async () => {
    const seen = await env({})
    expect(seen.get('OPENAI_API_KEY')).toBe('from-agent')
    expect(seen.get('OWN_SETTING')).toBe('own')
    for (const name of [
      'SERVER_AUTH_TOKEN',
      'SECRETS_MASTER_KEY',
      'GITHUB_CLIENT_SECRET',
      'DRAY_PASS_ENV',
      'DRAY_JOIN_TOKEN',
    ])
      expect(seen.has(name)).toBe(false)
    expect([...seen.keys()].filter((name) => name.startsWith('DRAY_'))).toEqual([])
  })

  it('job env outranks request.env, which outranks the agent', async () => {
    const seen = await env({
      env: { OPENAI_API_KEY: 'job', A: 'job' },
      request: { env: { OPENAI_API_KEY: 'request', HF_TOKEN: 'request', A: 'request', N: 5 } },
    })
    expect([seen.get('OPENAI_API_KEY'), seen.get('HF_TOKEN'), seen.get('A'), seen.get('N')]).toEqual([
      'job',
      'request',
      'job',
      '5',
    ])
  })

  it('keeps values with blanks, quotes, newlines and Unicode as they are', async () => {
    const value = `a "b" 'c' $d \\ é\n=x`
    expect(await run('printf %s "$V"', { env: { V: value } })).toBe(value)
  })
})
