// The submit body: what is accepted, what is refused and how, and the limits that a container gets.
import { describe, expect, it } from 'vitest'
import { effectiveLimits, submitBodySchema } from '../../shared/job-spec.ts'
import { encodeRequest } from '../../shared/nodetool.ts'

const DEFAULTS = { memory: 2 * 2 ** 30, cpus: 2 }
const parse = (body: unknown) => submitBodySchema.parse(body)
const problem = (body: unknown): string =>
  submitBodySchema
    .safeParse(body)
    .error?.issues.map((issue) => `${issue.path.join('.')}: ${issue.message}`)
    .join('; ') ?? 'accepted'

describe('submitBodySchema', () => {
  it('fills in the defaults of PROTOCOL 3', () => {
    expect(parse({})).toMatchObject({
      pull: 'missing',
      env: {},
      network: 'internet',
      read_only: false,
      stop_grace_seconds: 10,
      lost_after_seconds: 600,
      retries: { max_attempts: 1, on: [], backoff_seconds: 1, exclusive: false },
      priority: 'normal',
      parse_updates: true,
      pool: 'default',
      labels: {},
      agent_labels: {},
      resources: { gpus: 0, pids: 512, shm: 64 * 2 ** 20 },
    })
  })

  it('refuses an unknown key by its name, at every depth', () => {
    expect(problem({ privileged: true })).toContain('privileged')
    expect(problem({ resources: { memroy: '1g' } })).toContain('memroy')
    expect(problem({ retries: { max: 1 } })).toContain('max')
    for (const key of ['tenant', 'status', 'rev', 'attempt', 'result', 'posture'])
      expect(problem({ [key]: 'x' })).toContain(key)
  })

  it('takes at most one of request and stdin', () => {
    expect(problem({ request: {}, stdin: 'x' })).toContain('stdin')
    expect(problem({ stdin: { base64: 'aGk=' } })).toBe('accepted')
    expect(problem({ stdin: { base64: '!' } })).toContain('base64')
  })

  it('takes GPUs as a count or an object, sizes as docker writes them', () => {
    expect(parse({ resources: { gpus: 2, memory: '512m' } }).resources).toMatchObject({ gpus: 2, memory: 2 ** 29 })
    expect(parse({ resources: { gpus: { count: 1 } } }).resources.gpus).toBe(1)
    expect(problem({ resources: { memory: 'much' } })).toContain('512m')
    expect(problem({ resources: { memory: '1m' } })).toContain('6m')
  })

  it('refuses environment names that the agent sets', () => {
    for (const key of ['DRAY_X', 'NVIDIA_VISIBLE_DEVICES', '1A', 'A-B', '']) {
      expect(problem({ env: { [key]: '1' } })).not.toBe('accepted')
      expect(problem({ request: { env: { [key]: '1' } } })).not.toBe('accepted')
    }
    expect(problem({ env: { A: 'x\0y' } })).toContain('NUL')
  })

  it('refuses names, labels and pools with characters that a subject or path could not hold', () => {
    for (const bad of ['a.b', '*', '>', '../x', '', 'x'.repeat(64)]) {
      for (const body of [
        { pool: bad },
        { name: bad },
        { labels: { a: bad } },
        { labels: { [bad]: 'a' } },
        { request: { job_id: bad } },
      ])
        expect(problem(body)).not.toBe('accepted')
    }
  })

  it('refuses working directories that reach into the host', () => {
    for (const bad of ['/proc/self/fd/8', '/sys', '//proc', 'relative', '/a/../proc'])
      expect(problem({ workdir: bad })).not.toBe('accepted')
  })

  it('refuses times outside 1 s to 30 days', () => {
    for (const bad of [0, -1, 30 * 86400 + 1, Number.NaN, '5'])
      expect(problem({ timeout_seconds: bad })).toContain('timeout_seconds')
  })

  it('is stable: what it made is a valid body with the same meaning', () => {
    const once = parse({
      resources: { memory: '512m', gpus: { count: 1 }, tmpfs: { '/tmp': '1m' } },
      request: { graph: { nodes: [], edges: [] }, extra: 1 },
    })
    expect(parse(JSON.parse(JSON.stringify(once)))).toEqual(once)
    expect(once.request).toMatchObject({ extra: 1 })
  })
})

describe('effectiveLimits()', () => {
  it("uses the agent's defaults where the job does not say", () => {
    expect(effectiveLimits(parse({}), DEFAULTS)).toMatchObject({
      memory: DEFAULTS.memory,
      cpus: 2,
      gpus: 0,
      pids: 512,
      timeoutSeconds: null,
    })
  })

  it('takes the stricter of resources and resource_limits', () => {
    const spec = parse({
      resources: { memory: '1g', cpus: 1, pids: 100 },
      timeout_seconds: 60,
      request: {
        resource_limits: {
          memory_mb: 512,
          cpu_percent: 50,
          time_seconds: 90,
          max_processes: 200,
          open_files: 64,
          file_size_mb: 1,
        },
      },
    })
    expect(effectiveLimits(spec, DEFAULTS)).toEqual({
      memory: 512 * 2 ** 20,
      cpus: 0.5,
      gpus: 0,
      pids: 100,
      shm: 64 * 2 ** 20,
      timeoutSeconds: 60,
      openFiles: 64,
      fileSizeBytes: 2 ** 20,
    })
  })

  it('keeps shm within memory', () => {
    expect(effectiveLimits(parse({ resources: { memory: '32m' } }), DEFAULTS).shm).toBe(32 * 2 ** 20)
  })
})

describe('encodeRequest()', () => {
  it('keeps everything of the request out of the first ten lines, as valid JSON', () => {
    const encoded = encodeRequest({ params: { text: 'import me\nfrom x' }, future: true })
    expect(encoded.split('\n').slice(0, 10).join('')).toBe('{')
    expect(JSON.parse(encoded)).toEqual({
      type: 'run_job_request',
      params: { text: 'import me\nfrom x' },
      future: true,
    })
    expect(JSON.parse(encodeRequest({}))).toEqual({ type: 'run_job_request' })
  })
})
