// The client's calls against a small real HTTP server: requests, errors, repeats, waiting and results.

import { afterEach, expect, test } from 'vitest'
import { ApiError, JobFailedError } from '../../shared/client/api-error.ts'
import { createClient } from '../../shared/client/create-client.ts'
import { seqOf, terminalSeq } from '../../shared/position.ts'
import { endServers, serve, terminal } from '../support/scripted-server.ts'

afterEach(endServers)

const job = (status: string, more: object = {}) => ({
  id: 'job_1',
  status,
  attempt: 1,
  attempts: [],
  transitions: [],
  labels: {},
  ...more,
})

test('submit() sends key, token and body; a problem document becomes an ApiError with its hint', async () => {
  const server = await serve(
    () => {},
    () => ({
      status: 429,
      body: { code: 'quota_exceeded', detail: 'Too many jobs', hint: 'Wait.', request_id: 'req_1', limit: 5 },
    }),
  )
  const error = await server.client
    .submit({ image: 'alpine' }, { idempotencyKey: 'k1' })
    .catch((reason: unknown) => reason)
  expect(error).toBeInstanceOf(ApiError)
  expect(error).toMatchObject({
    code: 'quota_exceeded',
    status: 429,
    retryable: true,
    hint: 'Wait.',
    requestId: 'req_1',
    details: { limit: 5 },
  })
  expect(server.requests).toHaveLength(1)
  expect(server.requests[0]).toMatchObject({
    method: 'POST',
    path: '/v1/jobs',
    body: { image: 'alpine' },
    headers: { authorization: 'Bearer dray_secret', 'idempotency-key': 'k1', 'content-type': 'application/json' },
  })
})

test('reads are tried again while the server says "later"; a submit without a key is not', async () => {
  let fails = 2
  const server = await serve(
    () => {},
    () => (fails-- > 0 ? { status: 503, text: '<html>busy</html>' } : { status: 200, body: job('running') }),
  )
  expect((await server.client.show('job_1')).id).toBe('job_1')
  fails = 1
  await expect(server.client.submit({ image: 'alpine' })).rejects.toMatchObject({ code: 'unavailable', status: 503 })
})

test('no server: an ApiError "unavailable" with the address', async () => {
  const client = createClient({ url: 'http://127.0.0.1:9', token: 't' })
  await expect(client.submit({ image: 'alpine' })).rejects.toMatchObject({
    code: 'unavailable',
    status: 0,
    message: 'No answer from http://127.0.0.1:9',
  })
})

test('wait() follows without replaying and resolves with the ended job', async () => {
  let shows = 0
  const server = await serve(
    (socket) => socket.send(terminal()),
    () => ({ status: 200, body: job(shows++ === 0 ? 'running' : 'completed', { result: { out: [1] } }) }),
  )
  expect(await server.client.wait('job_1')).toMatchObject({ status: 'completed' })
  expect(server.cursors).toEqual([terminalSeq(1) - 1])
})

test('result() fetches a large result from its update, and throws JobFailedError with the job', async () => {
  const seq = seqOf(1, 9)
  const server = await serve(
    () => {},
    (path) => {
      if (path.includes('/updates'))
        return {
          status: 200,
          body: { updates: [{ seq, type: 'job_update', result: { big: [1, 2] } }], cursor: seq, done: false },
        }
      if (path.endsWith('bad'))
        return {
          status: 200,
          body: job('error', { error: { code: 'oom', message: 'Out of memory', hint: 'More.' }, exit: { code: 137 } }),
        }
      return { status: 200, body: job('completed', { result: { $update: seq } }) }
    },
  )
  expect(await server.client.result('job_1')).toEqual({ big: [1, 2] })
  expect(server.requests.at(-1)?.path).toBe(`/v1/jobs/job_1/updates?after=${seq - 1}&limit=1`)
  const error = await server.client.result('bad').catch((reason: unknown) => reason)
  expect(error).toBeInstanceOf(JobFailedError)
  expect(error).toMatchObject({ code: 'oom', exitCode: 137, hint: 'More.' })
})
