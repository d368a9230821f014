import { describe, expect, test } from 'vitest'
import { ConfigError, loadConfig, splitCommand } from '../../runner-agent/config.ts'

const URL = { DRAY_URL: 'http://127.0.0.1:1/' }

describe('loadConfig()', () => {
  test('fills in what the original system has', () => {
    expect(loadConfig(URL)).toMatchObject({
      url: 'http://127.0.0.1:1',
      joinToken: null,
      pool: 'default',
      labels: {},
      dockerSocket: '/var/run/docker.sock',
      image: 'nodetool',
      command: ['nodetool', 'run', '--stdin', '--jsonl', '--show-node-updates'],
      memoryBytes: 2 * 2 ** 30,
      cpus: 2,
      gpuDevices: undefined,
      gpuMemoryBytes: null,
      drainMs: 30_000,
    })
  })

  test('takes flags before variables, and a blank variable as unset', () => {
    const environment = { ...URL, DRAY_POOL: 'one', DRAY_AGENT_NAME: '', DOCKER_MEM_LIMIT: '512m' }
    const config = loadConfig(environment, { pool: 'two', label: ['gpu=a100', 'site=b'], drain: true })
    expect(config).toMatchObject({
      pool: 'two',
      name: null,
      labels: { gpu: 'a100', site: 'b' },
      memoryBytes: 512 * 2 ** 20,
      drainMs: Number.POSITIVE_INFINITY,
    })
  })

  test.each([
    [{}, 'needs the control plane'],
    [{ DRAY_URL: 'ftp://x' }, 'needs the control plane'],
    [{ ...URL, DOCKER_MEM_LIMIT: 'lots' }, 'DOCKER_MEM_LIMIT must be a size'],
    [{ ...URL, DOCKER_CPU_LIMIT: '-1' }, 'DOCKER_CPU_LIMIT'],
    [{ ...URL, DOCKER_HOST: 'tcp://1.2.3.4:2375' }, 'DOCKER_HOST must be a Unix socket'],
    [{ ...URL, DRAY_LABELS: 'a=b=c' }, 'DRAY_LABELS'],
    [{ ...URL, DRAY_POOL: 'a.b' }, 'DRAY_POOL'],
  ])('refuses %j by its name', (environment, words) => {
    expect(() => loadConfig(environment)).toThrow(ConfigError)
    expect(() => loadConfig(environment)).toThrow(words)
  })
})

describe('splitCommand()', () => {
  test.each([
    ['a  b', ['a', 'b']],
    [`sh -c "echo 'x y'" z`, ['sh', '-c', "echo 'x y'", 'z']],
    [`a'b c'd ''`, ['ab cd', '']],
    ['["a b", "c"]', ['a b', 'c']],
  ])('%s', (text, words) => {
    expect(splitCommand(text)).toEqual(words)
  })

  test('refuses a broken array', () => {
    expect(() => splitCommand('["a", 1]')).toThrow(ConfigError)
  })
})
