import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import type { Grant } from '../../shared/agent-protocol.ts'
import { agentSettings } from '../../shared/container-env.ts'
import { attemptOfLabels, containerName } from '../../shared/container-identity.ts'
import { LINE_COST_BYTES, logMaxBytes, planContainer, type ContainerPolicy } from '../../shared/container-options.ts'
import { NAME_PATTERN } from '../../shared/ids.ts'
import { submitBodySchema, type SubmitBody } from '../../shared/job-spec.ts'

const POLICY: ContainerPolicy = {
  defaults: { memory: 2 * 2 ** 30, cpus: 2 },
  image: 'nodetool',
  command: ['nodetool', 'run'],
  maxOpenFiles: 1_048_576,
  internetNetwork: 'bridge',
  settings: {},
  hideGpus: false,
  gpuSettings: { PYTORCH_CUDA_ALLOC_CONF: 'max_split_size_mb:100' },
}
const ORIGIN = {
  agentId: 'agt_1',
  bootId: 'boot1',
  imageId: 'sha256:abc',
  updates: 2,
  key: { tenant: 'default', job: 'job1', attempt: 2 },
}

function plan(body: SubmitBody, more: Partial<Grant> = {}, policy: Partial<ContainerPolicy> = {}) {
  const grant: Grant = {
    spec: submitBodySchema.parse(body),
    env: {},
    secrets: {},
    limits: { output_bytes: 256 * 2 ** 20, line_bytes: 8 * 2 ** 20 },
    gpus: [],
    lost_after_seconds: 600,
    cancel_requested: false,
    resume: { n: 0, stdout_lines: 0, stderr_lines: 0, subject_seq: 0, session: null },
    ...more,
  }
  return planContainer(grant, { ...POLICY, ...policy }, ORIGIN)
}

describe('planContainer()', () => {
  test('locks a container down by default', () => {
    const { options } = plan({ image: 'busybox' })
    expect(options).toMatchObject({ OpenStdin: true, StdinOnce: true, Tty: false })
    expect(options.HostConfig).toMatchObject({
      Init: true,
      AutoRemove: false,
      CapDrop: ['ALL'],
      SecurityOpt: ['no-new-privileges'],
      PidsLimit: 512,
      Memory: 2 * 2 ** 30,
      MemorySwap: 2 * 2 ** 30,
      NanoCpus: 2e9,
      ShmSize: 64 * 2 ** 20,
      ReadonlyRootfs: false,
      NetworkMode: 'bridge',
      IpcMode: 'private',
      LogConfig: { Type: 'local', Config: { 'max-file': '1', compress: 'false' } },
    })
    expect(options.HostConfig).not.toHaveProperty('DeviceRequests')
    expect(options.HostConfig.Ulimits).toContainEqual({ Name: 'core', Soft: 0, Hard: 0 })
    expect(options).not.toHaveProperty('Cmd')
  })

  test('runs the agent’s command in its image for a request without them', () => {
    const { options } = plan({ request: {} })
    expect(options).toMatchObject({
      Image: 'sha256:abc',
      Labels: { 'dray.image': 'nodetool' },
      Cmd: ['nodetool', 'run'],
    })
    expect(plan({ request: {}, image: 'other', command: ['x'] }).options).toMatchObject({
      Labels: { 'dray.image': 'other' },
      Cmd: ['x'],
    })
  })

  test('takes the stricter of resources and resource_limits', () => {
    const limits = { memory_mb: 100, cpu_percent: 50, max_processes: 20, open_files: 64, file_size_mb: 1 }
    const { options } = plan({ request: { resource_limits: limits }, resources: { memory: '1g', cpus: 4 } })
    expect(options.HostConfig).toMatchObject({ Memory: 100 * 2 ** 20, NanoCpus: 5e8, PidsLimit: 20 })
    expect(options.HostConfig.Ulimits).toContainEqual({ Name: 'nofile', Soft: 64, Hard: 64 })
    expect(options.HostConfig.Ulimits).toContainEqual({ Name: 'fsize', Soft: 2 ** 20, Hard: 2 ** 20 })
  })

  test('asks for each leased GPU by its own id', () => {
    const { options } = plan({ image: 'x' }, { gpus: ['GPU-a', 'GPU-b'] })
    expect(options.HostConfig.DeviceRequests).toEqual([
      { Driver: 'nvidia', DeviceIDs: ['GPU-a', 'GPU-b'], Capabilities: [['gpu', 'compute', 'utility']] },
    ])
    expect(options.Env).toContain('PYTORCH_CUDA_ALLOC_CONF=max_split_size_mb:100')
    expect(plan({ image: 'x' }).options.Env).toEqual([])
    expect(plan({ image: 'x' }, {}, { hideGpus: true }).options.Env).toEqual(['NVIDIA_VISIBLE_DEVICES=void'])
  })

  test('gives a read-only container a /tmp, unless it says which', () => {
    expect(plan({ image: 'x', read_only: true }).options.HostConfig.Tmpfs).toEqual({
      '/tmp': `rw,nosuid,nodev,size=${256 * 2 ** 20}`,
    })
    expect(
      plan({ image: 'x', read_only: true, resources: { tmpfs: { '/run': '1m' } } }).options.HostConfig.Tmpfs,
    ).toEqual({ '/run': 'rw,nosuid,nodev,size=1048576' })
  })

  test('merges the environment: job, request, secrets, agent', () => {
    const { options } = plan(
      { request: { env: { A: 'request', B: 'request', N: 1, Z: null } }, env: { A: 'job' } },
      { secrets: { A: 'secret', B: 'secret', C: 'secret' } },
      { settings: { A: 'agent', B: 'agent', C: 'agent', D: 'agent' } },
    )
    expect(options.Env).toEqual(['A=job', 'B=request', 'C=secret', 'D=agent', 'N=1'])
  })

  test('keeps secrets out of its labels', () => {
    const { options } = plan({ image: 'x' }, { secrets: { TOKEN: 'hidden' } })
    expect(JSON.stringify(options.Labels)).not.toContain('hidden')
    expect(attemptOfLabels(options.Labels)).toEqual(ORIGIN.key)
  })

  test('lets the log hold whatever the output cap lets through', () => {
    const outputBytes = 1_000_000
    const shortestLines = Math.floor(outputBytes / LINE_COST_BYTES)
    expect(logMaxBytes(outputBytes)).toBeGreaterThan(shortestLines * 64 + outputBytes)
  })
})

describe('agentSettings()', () => {
  test('passes the known names and DRAY_PASS_ENV, and never what is the operator’s', () => {
    const environment = {
      HF_TOKEN: 'h',
      MINE: 'm',
      OTHER: 'o',
      SERVER_AUTH_TOKEN: 's',
      GITHUB_CLIENT_SECRET: 'g',
      SECRETS_MASTER_KEY: 'k',
      DRAY_URL: 'u',
      NVIDIA_VISIBLE_DEVICES: 'all',
    }
    const extra = [
      'MINE',
      'SERVER_AUTH_TOKEN',
      'GITHUB_CLIENT_SECRET',
      'SECRETS_MASTER_KEY',
      'DRAY_URL',
      'NVIDIA_VISIBLE_DEVICES',
    ]
    expect(agentSettings(environment, extra)).toEqual({ HF_TOKEN: 'h', MINE: 'm' })
  })
})

describe('containerName()', () => {
  const name = fc.stringMatching(NAME_PATTERN)
  const key = fc.record({ tenant: name, job: name, attempt: fc.integer({ min: 1, max: 2 ** 21 }) })

  test('is one that Docker takes, bounded, and the same each time', () => {
    fc.assert(
      fc.property(key, (attempt) => {
        expect(containerName(attempt)).toMatch(/^[a-zA-Z0-9][a-zA-Z0-9_.-]{1,120}$/)
        expect(containerName({ ...attempt })).toBe(containerName(attempt))
      }),
    )
  })

  test('differs where the attempts differ, dashes in names included', () => {
    expect(containerName({ tenant: 'a-b', job: 'c', attempt: 1 })).not.toBe(
      containerName({ tenant: 'a', job: 'b-c', attempt: 1 }),
    )
    const job = 'j'.repeat(63)
    expect(containerName({ tenant: 't'.repeat(63), job, attempt: 1 })).not.toBe(
      containerName({ tenant: 't'.repeat(63), job, attempt: 2 }),
    )
  })
})
