// PROTOCOL 3 and promise 6: bad input gets a 4xx and changes nothing. A thousand mutations of valid bodies, seeded: the
// seed is in the failure's message, and the same seed makes the same bodies.

import fc from 'fast-check'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { startTestControlPlane, type TestControlPlane } from '../support/control-plane.ts'

const SEED = 20_261_125
const RUNS = 1_000

let plane: TestControlPlane
beforeAll(async () => {
  plane = await startTestControlPlane()
})
afterAll(() => plane.close())

const VALID: readonly Record<string, unknown>[] = [
  {
    image: 'x',
    command: ['a', 'b'],
    env: { A: '1' },
    labels: { a: 'b' },
    resources: { memory: '1g', gpus: { count: 1 } },
  },
  {
    request: {
      graph: { nodes: [{ id: '1', type: 't' }], edges: [] },
      params: { a: [1, { b: null }] },
      env: { X: 'y' },
    },
  },
  { stdin: { base64: 'AAEC' }, timeout_seconds: 5, retries: { max_attempts: 2, on: ['oom'] }, network: 'none' },
  {
    image: 'x',
    resources: { tmpfs: { '/tmp': '1m' }, shm: '1m', pids: 5 },
    user: '1:1',
    workdir: '/a',
    stop_signal: 'SIGINT',
  },
]

const HOSTILE: readonly unknown[] = [
  null,
  true,
  0,
  -1,
  1.5,
  1e308,
  -0,
  2 ** 53,
  '',
  ' ',
  '\0',
  '\u202e',
  'x'.repeat(70_000),
  '*',
  'a.b',
  '../..',
  "';--",
  'SIGKILL',
  '99999999999999999999t',
  '0',
  '-5m',
  [],
  [[]],
  {},
  { $update: 1 },
  { __proto__: null, toString: 1 },
  ['\0'],
  { '': '' },
  '\ud83d\ude00',
]

const KEYS = ['__proto__', 'constructor', 'toString', '', 'image', 'id', 'tenant', 'status', '$ref', 'a.b', 'job_id']

/** Every place in a value, as a path. */
function places(value: unknown, path: readonly string[] = []): string[][] {
  const inside = typeof value === 'object' && value !== null ? Object.entries(value) : []
  return [[...path], ...inside.flatMap(([key, member]) => places(member, [...path, key]))]
}

function mutated(value: unknown, path: readonly string[], change: (old: unknown) => unknown): unknown {
  const [first, ...rest] = path
  if (first === undefined) return change(value)
  const copy = (Array.isArray(value) ? [...value] : { ...(value as object) }) as Record<string, unknown>
  copy[first] = mutated(copy[first], rest, change)
  return copy
}

const mutation = fc
  .record({
    base: fc.constantFrom(...VALID),
    at: fc.nat(),
    kind: fc.constantFrom('replace', 'remove', 'add', 'wrap', 'text'),
    hostile: fc.oneof(fc.constantFrom(...HOSTILE), fc.jsonValue()),
    key: fc.constantFrom(...KEYS),
    cut: fc.nat(),
  })
  .map(({ base, at, kind, hostile, key, cut }) => {
    const all = places(base)
    const path = all[at % all.length] ?? []
    const text = JSON.stringify(base)
    if (kind === 'text')
      return text.slice(0, cut % text.length) + JSON.stringify(hostile) + text.slice((cut % text.length) + 1)
    const changed = mutated(base, path, (old) => {
      if (kind === 'replace') return hostile
      if (kind === 'remove') return undefined
      if (kind === 'wrap') return [old]
      return typeof old === 'object' && old !== null && !Array.isArray(old)
        ? Object.defineProperty({ ...old }, key, { value: hostile, enumerable: true })
        : hostile
    })
    return JSON.stringify(changed) ?? ''
  })

it(`POST /v1/jobs never answers 5xx to ${RUNS} mutations of valid bodies, and a 4xx changes no row`, async () => {
  const counts: Record<number, number> = {}
  let rows = await plane.rows()
  await fc.assert(
    fc.asyncProperty(mutation, async (body) => {
      const answer = await plane.call('POST', '/v1/jobs', { body, headers: { 'idempotency-key': crypto.randomUUID() } })
      counts[answer.status] = (counts[answer.status] ?? 0) + 1
      if (answer.status === 201) {
        rows = await plane.rows()
        return
      }
      expect([400, 409]).toContain(answer.status)
      expect(answer.headers.get('content-type')).toBe('application/problem+json')
      // A row that this call wrote would show now or with the next refusal.
      if ((counts[answer.status] ?? 0) % 20 === 0) expect(await plane.rows()).toBe(rows)
    }),
    { seed: SEED, numRuns: RUNS, endOnFailure: true },
  )
  expect(await plane.rows()).toBe(rows)
  // Mutations that are all refused, or all accepted, would prove little.
  expect(counts[201]).toBeGreaterThan(RUNS / 20)
  expect(counts[400]).toBeGreaterThan(RUNS / 4)
}, 60_000)

it('agent calls never answer 5xx to mutations of valid bodies', async () => {
  const agent = await plane.joinAgent('fuzz')
  const beat = {
    beat: 1,
    boot_id: 'b',
    attempts: [{ tenant: 'default', job: 'j', attempt: 1, phase: 'running', n: 1, stdout_lines: 1, stderr_lines: 0 }],
  }
  const end = {
    attempt: 1,
    exit: { code: 0, oom_killed: false, reason: 'exited' },
    started_at: null,
    finished_at: new Date(0).toISOString(),
    image_digest: null,
    updates: 0,
  }
  const calls = [
    ['/heartbeat', beat],
    ['/jobs/default/j/claim', { attempt: 1, beat: 1, adopt: true }],
    ['/jobs/default/j/finish', end],
    ['/leave', {}],
  ] as const
  const hostile = fc.oneof(fc.constantFrom(...HOSTILE), fc.jsonValue())
  await fc.assert(
    fc.asyncProperty(fc.constantFrom(...calls), fc.nat(), hostile, async ([path, body], at, value) => {
      const all = places(body)
      const answer = await agent.call(path, mutated(body, all[at % all.length] ?? [], () => value) ?? null)
      expect(answer.status, answer.text).toBeLessThan(500)
    }),
    { seed: SEED, numRuns: 300, endOnFailure: true },
  )
}, 60_000)

it.each(['*', '>', 'a.b', "x' OR 1=1--", '%0d%0aSet-Cookie: a=b', '\u{1F600}', '%u0000', '%', '..'])(
  'ids, cursors and filters of %j never answer 5xx',
  async (text) => {
    for (const path of [
      `/v1/jobs/${text}`,
      `/v1/jobs?cursor=${text}`,
      `/v1/jobs?label=${text}:${text}`,
      `/v1/jobs?pool=${text}`,
      `/v1/jobs/x/updates?after=${text}`,
      `/v1/agents/${text}`,
      `/v1/agents?cursor=${text}`,
    ]) {
      const { status, headers } = await plane.call('GET', path)
      expect([400, 404], `${path}: ${status}`).toContain(status)
      expect(headers.get('set-cookie')).toBeNull()
    }
  },
)
