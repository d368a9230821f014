// PROTOCOL 3: every error is RFC 9457 problem JSON, bad input is a 4xx, and a 4xx changes nothing.

import { createConnection } from 'node:net'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { startTestControlPlane, type Answer, type TestControlPlane } from '../support/control-plane.ts'

let plane: TestControlPlane
beforeAll(async () => {
  plane = await startTestControlPlane({ DRAY_MAX_MEMORY: '4g', DRAY_MAX_PIDS: '100', DRAY_MAX_TIMEOUT_SECONDS: '3600' })
})
afterAll(() => plane.close())

function expectProblem(answer: Answer, status: number, code: string, detail?: RegExp): void {
  expect(answer.headers.get('content-type')).toBe('application/problem+json')
  expect(answer.body).toMatchObject({ status, code, type: `urn:dray:problem:${code}` })
  for (const field of ['title', 'detail', 'hint', 'request_id']) expect(answer.body[field]).toEqual(expect.any(String))
  expect(answer.headers.get('x-request-id')).toBe(answer.body['request_id'])
  expect(answer.status).toBe(status)
  if (detail) expect(answer.body['detail']).toMatch(detail)
}

const submit = (body: unknown, headers: Record<string, string> = {}): Promise<Answer> =>
  plane.call('POST', '/v1/jobs', { body, headers })

describe('an error', () => {
  it('of an unknown path is 404', async () => {
    for (const path of ['/nope', '/v1', '/v1/jobs/', '/v1/job', '/v1/agents/self/jobs'])
      expectProblem(await plane.call('GET', path), 404, 'not_found')
  })

  it.each(['a.b', '*', '>', 'a%2Fb', '%00', '..%2f', 'x'.repeat(64), '-a', 'a%0d%0aX: y', "a'--", 'é'])(
    'of the malformed id %j in a path is 404',
    async (id) => {
      for (const [method, rest] of [
        ['GET', ''],
        ['POST', '/cancel'],
        ['POST', '/retry'],
        ['GET', '/updates'],
      ] as const)
        expectProblem(await plane.call(method, `/v1/jobs/${id}${rest}`), 404, 'not_found')
    },
  )

  it('of a wrong method is 405 with Allow', async () => {
    const answer = await plane.call('PUT', '/v1/jobs')
    expectProblem(answer, 405, 'method_not_allowed')
    expect(answer.headers.get('allow')?.split(', ').toSorted()).toEqual(['GET', 'HEAD', 'POST'])
    expectProblem(await plane.call('DELETE', '/v1/jobs/some-job'), 405, 'method_not_allowed')
    expectProblem(await plane.call('POST', '/healthz'), 405, 'method_not_allowed')
    expectProblem(await plane.call('OPTIONS', '/v1/jobs'), 405, 'method_not_allowed')
  })

  it('carries the request id that the caller chose, if it is sane', async () => {
    const chosen = await plane.call('GET', '/nope', { headers: { 'x-request-id': 'trace-1.2_3' } })
    expect(chosen.body['request_id']).toBe('trace-1.2_3')
    const forged = await plane.call('GET', '/nope', { headers: { 'x-request-id': '"} {"level":"error' } })
    expect(forged.body['request_id']).toMatch(/^req_/)
  })

  it.each([
    ['GET \\x HTTP/1.1\r\nHost: a\r\n\r\n', 400],
    ['nonsense\r\n\r\n', 400],
    ['GET /healthz HTTP/1.1\r\nHost: a b\r\n\r\n', 400],
    ['OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n', 400],
    ['POST /v1/jobs HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n', 400],
    [`GET /healthz HTTP/1.1\r\nHost: a\r\nX: ${'y'.repeat(20_000)}\r\n\r\n`, 431],
    ['GET / HTTP/1.0\r\n\r\n', 404],
    ['GET http://a/healthz HTTP/1.1\r\nHost: a\r\n\r\n', 200],
  ])('of what is hardly HTTP is problem JSON too: %#', async (text, status) => {
    const answer = await raw(text)
    expect(answer).toMatch(new RegExp(`^HTTP/1\\.1 ${status} `))
    if (status !== 200) expect(answer.toLowerCase()).toContain('content-type: application/problem+json')
  })

  it('shows no stack, path or internal name', async () => {
    const answers = await Promise.all([submit('{'), submit([]), submit({ image: 1 }), plane.call('GET', '/x')])
    for (const { text } of answers) expect(text).not.toMatch(/\bat .*\.ts|node_modules|SQLITE|ZodError|Hono/)
  })
})

describe('a body', () => {
  it('may be 16 MiB', async () => {
    const fill = 16 * 2 ** 20 - '{"request":{"params":""}}'.length
    const body = `{"request":{"params":"${'x'.repeat(fill)}"}}`
    expect(body).toHaveLength(16 * 2 ** 20)
    expect((await submit(body)).status).toBe(201)
  })

  it('over 16 MiB is 413, with and without Content-Length', async () => {
    const big = `{"stdin":"${'x'.repeat(16 * 2 ** 20)}"}`
    expectProblem(await submit(big), 413, 'too_large')
    const chunked = await fetch(`${plane.url}/v1/jobs`, {
      method: 'POST',
      headers: { authorization: `Bearer ${plane.adminKey}`, 'content-type': 'application/json' },
      body: new Blob([big]).stream(),
      duplex: 'half',
    } as RequestInit)
    expect(chunked.status).toBe(413)
  })

  it.each([
    ['text/plain', {}],
    ['application/x-www-form-urlencoded', {}],
    ['application/json; charset=latin1', {}],
    ['application/jsonp', {}],
    ['application/json', { 'content-encoding': 'gzip' }],
    ['application/json', { 'content-encoding': 'identity' }],
  ])('of type %j with %j is 415', async (type, headers) => {
    expectProblem(await submit('{}', { 'content-type': type, ...headers }), 415, 'unsupported_media_type')
  })

  it.each(['application/json; charset=utf-8', 'Application/JSON', 'application/json;charset="UTF-8"'])(
    'of type %j is read',
    async (type) => {
      expect((await submit('{"image":"x"}', { 'content-type': type })).status).toBe(201)
    },
  )

  it.each([
    ['{"image":"x"', /not JSON/],
    ['{"image":NaN}', /not JSON/],
    ['\ufeff{}', /not JSON/],
    ['{"image":"x","image":"y"}', /"image" is given twice at line 1, column 14/],
    ['{"name":"\\ud800"}', /lone surrogate/],
    [`{"request":{"params":${'['.repeat(99)}${']'.repeat(99)}}}`, /nested deeper than 100/],
    ['{"stop_grace_seconds":1e999}', /too large for a double/],
    ['[]', /must be an object/],
    ['null', /must be an object/],
    ['"x"', /must be an object/],
  ])('%j is 400', async (body, detail) => {
    expectProblem(await submit(body), 400, 'bad_request', detail)
  })

  it('of depth 100 is read', async () => {
    expect((await submit(`{"request":{"params":${'['.repeat(98)}${']'.repeat(98)}}}`)).status).toBe(201)
  })

  it('that is not UTF-8 is 400', async () => {
    const answer = await fetch(`${plane.url}/v1/jobs`, {
      method: 'POST',
      headers: { authorization: `Bearer ${plane.adminKey}`, 'content-type': 'application/json' },
      body: new Uint8Array([0x22, 0xff, 0x22]),
    })
    expect(answer.status).toBe(400)
  })

  it('that is missing is 400 where one is needed', async () => {
    expectProblem(await plane.call('POST', '/v1/jobs'), 400, 'bad_request', /missing/)
  })

  it('refuses an unknown key by its name, wherever it stands', async () => {
    expectProblem(await submit({ image: 'x', imagee: 1 }), 400, 'bad_request', /unknown key "imagee"/)
    expectProblem(await submit({ resources: { memori: 1 } }), 400, 'bad_request', /unknown key "resources\.memori"/)
    for (const key of ['tenant', 'status', 'attempt', 'result', 'rev', 'id'])
      expectProblem(await submit({ image: 'x', [key]: 'default' }), 400, 'bad_request', new RegExp(`"${key}"`))
  })

  it('with a key "__proto__" harms nobody', async () => {
    expectProblem(await submit('{"__proto__":{"image":"x"}}'), 400, 'bad_request', /"__proto__"/)
    const answer = await submit('{"image":"x","request":{"params":{"__proto__":{"polluted":1}}}}')
    expect(answer.status).toBe(201)
    expect(answer.text).toContain('"__proto__":{"polluted":1}')
    expect(({} as Record<string, unknown>)['polluted']).toBeUndefined()
  })

  it('is judged in sentences: where, what was given, how it should be; several are listed', async () => {
    const answer = await submit({ image: 'a b', resources: { memory: '2x', cpus: 0 }, priority: 'max' })
    expectProblem(answer, 400, 'bad_request', /"image" is "a b", but must be .* \(and 3 more, see "errors"\)/)
    expect(answer.body['errors']).toEqual(
      expect.arrayContaining([
        { path: 'resources.memory', detail: '"resources.memory" is "2x", but must be a size such as "512m" or "2g"' },
        { path: 'resources.cpus', detail: '"resources.cpus" is 0, but must be at least 0.01' },
        { path: 'priority', detail: '"priority" is "max", but must be one of "high", "normal", "low"' },
      ]),
    )
  })
})

describe('the operator’s maximum', () => {
  it('is named where a value is above it', async () => {
    expectProblem(
      await submit({ resources: { memory: '5g' } }),
      400,
      'bad_request',
      /"resources\.memory" is "5g", but must be at most "4g" \(DRAY_MAX_MEMORY\)/,
    )
    expectProblem(await submit({ timeout_seconds: 3601 }), 400, 'bad_request', /DRAY_MAX_TIMEOUT_SECONDS/)
    expect((await submit({ resources: { memory: '4g' }, timeout_seconds: 3600 })).status).toBe(201)
  })

  it('lowers a default that is above it, and gives a job without a time-out the longest', async () => {
    const { body } = await submit({ image: 'x' })
    expect(body['spec']).toMatchObject({ resources: { pids: 100 }, timeout_seconds: 3600 })
  })
})

describe('a query', () => {
  it.each([
    ['/v1/jobs?limit=0', /"limit" is .* from 1 to 500/],
    ['/v1/jobs?limit=501', /"limit"/],
    ['/v1/jobs?limit=1.5', /"limit"/],
    ['/v1/jobs?statuss=running', /"statuss"/],
    ['/v1/jobs?__proto__=x', /"__proto__"/],
    ['/v1/jobs?limit=1&limit=2', /"limit" more than once/],
    ['/v1/jobs?status=running,nope', /status/],
    ['/v1/jobs?label=nocolon', /label/],
    ['/v1/jobs?label=a.b:c', /label/],
    ['/v1/jobs?pool=a.b', /pool/],
    ['/v1/jobs?cursor=rubbish', /cursor/],
    ['/v1/agents?limit=abc', /limit/],
    ['/v1/agents?cursor=rubbish', /cursor/],
    ['/v1/keys?x=1', /"x"/],
  ])('%s is refused by name', async (path, detail) => {
    expectProblem(await plane.call('GET', path), 400, 'bad_request', detail)
  })
})

describe('a header', () => {
  it.each(['x'.repeat(256), 'a\u00e9b'])('Idempotency-Key %j is refused', async (key) => {
    expectProblem(await submit({ image: 'x' }, { 'idempotency-key': key }), 400, 'bad_request', /Idempotency-Key/)
  })
})

describe('a 4xx', () => {
  it('changes no row', async () => {
    const before = await plane.rows()
    await submit({ image: 'x', foo: 1 })
    await submit({ image: 'x' }, { 'idempotency-key': 'x'.repeat(256) })
    await submit({ image: 'x', resources: { memory: '5g' } }, { 'idempotency-key': 'unused' })
    await plane.call('POST', '/v1/keys', { body: { tenant: 'a.b' } })
    await plane.call('POST', '/v1/jobs/nope/cancel')
    expect(await plane.rows()).toBe(before)
  })
})

/** What the server answers to these very bytes, until it closes or falls silent. */
function raw(text: string): Promise<string> {
  const { hostname, port } = new URL(plane.url)
  return new Promise((resolve, reject) => {
    let answer = ''
    const socket = createConnection(Number(port), hostname, () => socket.write(text))
    socket.setTimeout(500, () => socket.destroy())
    socket.on('data', (data) => (answer += data.toString()))
    socket.on('error', reject)
    socket.on('close', () => resolve(answer))
  })
}
