// Arguments to requests, ends to exit codes, presses of Ctrl-C to steps.

import { EventEmitter } from 'node:events'
import { readdirSync, readFileSync } from 'node:fs'
import { InvalidArgumentError } from 'commander'
import { afterEach, expect, test, vi } from 'vitest'
import { exitCodeOf } from '../../cli/exit-code.ts'
import { collectPairs, envCollector, parseGpus, parseSeconds } from '../../cli/options.ts'
import { bodyOf as runBody } from '../../cli/run.ts'
import { bodyOf as submitBody } from '../../cli/submit.ts'
import { watchInterrupts } from '../../cli/terminal/interrupts.ts'
import { submitBodySchema } from '../../shared/job-spec.ts'

afterEach(() => void vi.useRealTimers())

test('run: docker flags become the fields of a submit body that the schema takes', () => {
  const body = runBody('alpine', ['echo', 'hi'], {
    env: { A: '1' },
    memory: '512m',
    cpus: 1.5,
    gpus: 1,
    name: 'mine',
    network: 'none',
    user: '1000:1000',
    workdir: '/w',
    entrypoint: 'sh',
    pull: 'always',
    readOnly: true,
    stopTimeout: 3,
    label: { team: 'a' },
    timeout: 60,
    retries: 2,
    priority: 'high',
    pool: 'gpu',
  })
  expect(body).toEqual({
    image: 'alpine',
    command: ['echo', 'hi'],
    env: { A: '1' },
    resources: { memory: '512m', cpus: 1.5, gpus: 1 },
    name: 'mine',
    network: 'none',
    user: '1000:1000',
    workdir: '/w',
    entrypoint: ['sh'],
    pull: 'always',
    read_only: true,
    stop_grace_seconds: 3,
    labels: { team: 'a' },
    timeout_seconds: 60,
    retries: { max_attempts: 3, on: expect.arrayContaining(['exit_nonzero', 'agent_lost']) },
    priority: 'high',
    pool: 'gpu',
    parse_updates: false,
  })
  expect(submitBodySchema.safeParse(body).error).toBeUndefined()
})

test('run: without flags only the image is sent; stdin travels as base64; --updates leaves parsing on', () => {
  expect(runBody('alpine', [], {})).toEqual({ image: 'alpine', parse_updates: false })
  expect(runBody('alpine', [], { updates: true }, new Uint8Array([0, 255]))).toEqual({
    image: 'alpine',
    stdin: { base64: 'AP8=' },
  })
})

test('submit: a RunJobRequest is wrapped, a submit body is not, and what is no object is refused', () => {
  expect(submitBody('{"graph":{"nodes":[],"edges":[]}}', 'f')).toEqual({ request: { graph: { nodes: [], edges: [] } } })
  expect(submitBody('{"type":"run_job_request"}', 'f')).toEqual({ request: { type: 'run_job_request' } })
  expect(submitBody('{"image":"alpine"}', 'f')).toEqual({ image: 'alpine' })
  for (const text of ['', '[]', 'null', '"x"']) expect(() => submitBody(text, 'f')).toThrow(/"f"/)
})

test('options: times, counts and pairs', () => {
  expect(['90', '90s', '15m', '1h30m', '2d', '0.5'].map(parseSeconds)).toEqual([90, 90, 900, 5_400, 172_800, 0.5])
  for (const text of ['', 'm', '1x', '-1', '1m1h']) expect(() => parseSeconds(text)).toThrow(InvalidArgumentError)
  expect([parseGpus('2'), parseGpus('count=3')]).toEqual([2, 3])
  expect(() => parseGpus('all')).toThrow(InvalidArgumentError)
  expect(collectPairs('A=b=c', { Z: '1' })).toEqual({ Z: '1', A: 'b=c' })
  expect(() => collectPairs('=b', undefined)).toThrow(InvalidArgumentError)
  const collect = envCollector({ HERE: 'yes' })
  expect(collect('GONE', collect('HERE', collect('K=v', undefined)))).toEqual({ K: 'v', HERE: 'yes' })
})

test('exitCodeOf() follows the table of the protocol', () => {
  const exit = (code: number | null) => ({ code, oom_killed: false, reason: 'exited' as const })
  const error = (code: 'exit_nonzero' | 'timeout' | 'workflow_failed' | 'agent_lost') => ({
    code,
    message: '',
    hint: '',
  })
  expect(exitCodeOf({ status: 'completed', exit: exit(0), error: undefined })).toBe(0)
  expect(exitCodeOf({ status: 'error', exit: exit(3), error: error('exit_nonzero') })).toBe(3)
  expect(exitCodeOf({ status: 'error', exit: exit(127), error: error('exit_nonzero') })).toBe(127)
  expect(exitCodeOf({ status: 'error', exit: exit(0), error: error('workflow_failed') })).toBe(125)
  expect(exitCodeOf({ status: 'error', exit: exit(null), error: error('agent_lost') })).toBe(125)
  expect(exitCodeOf({ status: 'error', exit: exit(143), error: error('timeout') })).toBe(124)
  expect(exitCodeOf({ status: 'cancelled', exit: exit(143), error: undefined })).toBe(130)
})

test('watchInterrupts() takes two signals within 500 ms for one press and stays at the last step', () => {
  vi.useFakeTimers({ toFake: ['performance'] })
  const source = new EventEmitter()
  const steps: string[] = []
  const interrupts = watchInterrupts([() => steps.push('cancel'), () => steps.push('kill')], source)
  source.emit('SIGINT')
  vi.advanceTimersByTime(499)
  source.emit('SIGINT')
  expect(steps).toEqual(['cancel'])
  vi.advanceTimersByTime(501)
  source.emit('SIGTERM')
  vi.advanceTimersByTime(600)
  source.emit('SIGINT')
  expect(steps).toEqual(['cancel', 'kill', 'kill'])
  interrupts.close()
  expect(source.listenerCount('SIGINT') + source.listenerCount('SIGTERM')).toBe(0)
})

test('the examples are what the API takes', () => {
  const folder = new URL('../../examples/', import.meta.url)
  const files = readdirSync(folder).filter((name) => name.endsWith('.json'))
  expect(files.length).toBeGreaterThan(3)
  for (const name of files) {
    const body = submitBody(readFileSync(new URL(name, folder), 'utf8'), name)
    expect(submitBodySchema.safeParse(body).error, name).toBeUndefined()
  }
})
