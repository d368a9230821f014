// What a request may hold, the closed catalogue of errors, signs of life, and the fixed numbers of the wire.
import { EventEmitter } from 'node:events'
import { readFileSync } from 'node:fs'
import { afterEach, describe, expect, it, vi } from 'vitest'
import { loadControlPlaneConfig } from '../../control-plane/entry/control-plane-config.ts'
import { createNodePlatform } from '../../control-plane/entry/node-platform.ts'
import { createFrameStream, NDJSON } from '../../control-plane/http/frame-stream.ts'
import { loadConfig } from '../../runner-agent/config.ts'
import { ERRORS } from '../../shared/errors.ts'
import { submitBodySchema } from '../../shared/job-spec.ts'
import { encodeRequest, type RunJobRequest } from '../../shared/nodetool.ts'
import { parseSize } from '../../shared/sizes.ts'

afterEach(() => void vi.useRealTimers())

const REQUEST: RunJobRequest = {
  type: 'run_job_request',
  job_id: 'j',
  job_type: 'workflow',
  execution_strategy: 'threaded',
  params: { text: 'x' },
  messages: [{ role: 'user' }],
  workflow_id: 'w',
  user_id: 'u',
  auth_token: 't',
  api_url: 'http://a',
  env: { A: '1' },
  graph: {
    nodes: [
      {
        id: 'n',
        parent_id: null,
        type: 't',
        data: {},
        ui_properties: {},
        dynamic_properties: {},
        dynamic_outputs: {},
        sync_mode: 'on_any',
        later: 1,
      },
    ],
    edges: [
      {
        id: null,
        source: 'a',
        sourceHandle: 'o',
        target: 'b',
        targetHandle: 'i',
        ui_properties: null,
        edge_type: 'control',
        later: 1,
      },
    ],
    later: 1,
  },
  explicit_types: false,
  resource_limits: {
    cpu_percent: 50,
    memory_mb: 64,
    time_seconds: 5,
    file_size_mb: 1,
    open_files: 9,
    max_processes: 9,
    later: 1,
  },
  later: { unknown: true },
}

describe('a RunJobRequest', () => {
  it('reaches stdin with every field as it was sent, unknown ones included', () => {
    const { request } = submitBodySchema.parse({ request: REQUEST })
    expect(request).toEqual(REQUEST)
    expect(JSON.parse(encodeRequest(request ?? {}))).toEqual(REQUEST)
  })

  it('is compact JSON after ten newlines, and may have null for what is optional', () => {
    const text = encodeRequest(REQUEST)
    expect(text.replace(/^\{\n{10}/, '{').trimEnd()).toBe(JSON.stringify(REQUEST))
    const nulls = {
      job_id: null,
      workflow_id: null,
      env: null,
      graph: null,
      resource_limits: null,
      explicit_types: null,
    }
    expect(submitBodySchema.parse({ request: nulls }).request).toEqual(nulls)
  })

  it('is run by `nodetool run --stdin --jsonl --show-node-updates` in image nodetool, unless the agent is told otherwise', () => {
    const told = (environment: Record<string, string>) => loadConfig({ DRAY_URL: 'http://127.0.0.1:1', ...environment })
    expect(told({})).toMatchObject({
      image: 'nodetool',
      command: ['nodetool', 'run', '--stdin', '--jsonl', '--show-node-updates'],
    })
    expect(told({ DOCKER_COMMAND: 'nodetool run --stdin --jsonl', DOCKER_IMAGE: 'mine:1' })).toMatchObject({
      image: 'mine:1',
      command: ['nodetool', 'run', '--stdin', '--jsonl'],
    })
  })
})

describe('the catalogue of errors', () => {
  it('holds every code of the protocol, each with whose fault it is, whether to retry, and what to do', () => {
    const statuses = {
      bad_request: 400,
      unauthenticated: 401,
      forbidden: 403,
      not_found: 404,
      conflict: 409,
      idempotency_mismatch: 409,
      fenced: 409,
      superseded: 409,
      too_large: 413,
      unsupported_media_type: 415,
      rate_limited: 429,
      quota_exceeded: 429,
      internal: 500,
      unavailable: 503,
    }
    const ofJobs =
      'unsatisfiable expired image_not_found image_pull_failed image_not_allowed image_signature start_failed exit_nonzero workflow_failed suspended oom timeout output_limit gpu_memory disk_full agent_lost engine_lost'
    const catalogue: Record<string, (typeof ERRORS)[keyof typeof ERRORS]> = ERRORS
    for (const [code, status] of Object.entries(statuses))
      expect([code, catalogue[code]?.status]).toEqual([code, status])
    for (const code of ofJobs.split(' ')) expect([code, catalogue[code]?.status]).toEqual([code, null])
    for (const [code, entry] of Object.entries(catalogue)) {
      expect(['caller', 'job', 'system'], code).toContain(entry.fault)
      expect(typeof entry.retryable, code).toBe('boolean')
      expect(entry.hint, code).toMatch(/^[A-Z].+\.$/)
    }
  })
})

describe('signs of life', () => {
  it('a WebSocket is pinged every 30 s and cut off when it does not answer', () => {
    vi.useFakeTimers()
    const socket = Object.assign(new EventEmitter(), { ping: vi.fn(), terminate: vi.fn() })
    const context = { raw: socket } as unknown as Parameters<ReturnType<typeof createNodePlatform>['keepAlive']>[0]
    const stop = createNodePlatform().keepAlive(context)
    vi.advanceTimersByTime(29_999)
    expect(socket.ping).not.toHaveBeenCalled()
    vi.advanceTimersByTime(1)
    expect(socket.ping).toHaveBeenCalledTimes(1)
    socket.emit('pong')
    vi.advanceTimersByTime(60_000)
    expect([socket.ping.mock.calls.length, socket.terminate.mock.calls.length]).toEqual([3, 0])
    vi.advanceTimersByTime(30_000)
    expect(socket.terminate).toHaveBeenCalledOnce()
    stop()
    vi.advanceTimersByTime(60_000)
    expect(socket.ping).toHaveBeenCalledTimes(3)
  })

  it('an NDJSON stream says a blank line in silence', async () => {
    const timers: (() => void)[] = []
    const stream = createFrameStream({
      format: NDJSON,
      clock: { nowMs: () => 0, after: (_ms, callback) => (timers.push(callback), () => undefined) },
      keepAliveMs: 15_000,
      limit: null,
      attach: () => () => undefined,
      onCut: () => false,
    })
    const reading = stream.getReader().read()
    for (const callback of timers.splice(0)) callback()
    expect(new TextDecoder().decode((await reading).value)).toBe('\n')
  })
})

describe('fixed numbers', () => {
  it('updates are kept 7 days, output is capped at 256 MiB, lines at 8 MiB', () => {
    const { nats, core } = loadControlPlaneConfig({})
    expect(nats.maxAgeSeconds).toBe(7 * 24 * 3600)
    expect(core).toMatchObject({ outputBytes: 256 * 2 ** 20, lineBytes: 8 * 2 ** 20 })
  })

  it('a lease is long enough for two sweeps: with a shorter one nobody would ever be called silent', () => {
    expect(() => loadControlPlaneConfig({ DRAY_LEASE_SECONDS: '2' })).toThrow('must be a number from 4 to 3600')
  })

  it('sizes are binary: b, k, m, g and t', () => {
    expect(['1b', '1k', '1m', '1g', '1t'].map(parseSize)).toEqual([1, 2 ** 10, 2 ** 20, 2 ** 30, 2 ** 40])
  })

  it('npm run dray replaces its shell, so that one Ctrl-C is one signal to one process', () => {
    const { scripts } = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8')) as {
      scripts: Record<string, string>
    }
    for (const name of ['dray', 'demo', 'start']) expect(scripts[name]).toMatch(/&& exec node cli\/main\.ts/)
  })
})
