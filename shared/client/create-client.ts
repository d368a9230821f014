// Portable: Web APIs only.
//
// The client of Dray for TypeScript: Node, Deno, browsers, workerd. It needs zod only (through the shared schemas).
//
//   const dray = createClient({ url, token })
//   const job = await dray.submit({ image: 'alpine', command: ['date'] })
//   for await (const update of dray.updates(job.id)) console.log(update)
//
// Every method throws ApiError; `updates`, `wait` and `result` survive lost connections and restarts of the server.
import type { Client, ClientOptions, JobHandle } from './client.ts'
import { readResult, waitForEnd } from './job-end.ts'
import { createTransport, type Transport } from './transport.ts'
import { followUpdates } from './updates.ts'

export type { Client } from './client.ts'

export function createClient(options: ClientOptions): Client {
  const transport = createTransport(options)

  const client: Client = {
    url: transport.url,
    submit: (body, { idempotencyKey, signal } = {}) =>
      transport.call('/v1/jobs', {
        method: 'POST',
        body,
        headers: idempotencyKey === undefined ? {} : { 'idempotency-key': idempotencyKey },
        repeatable: idempotencyKey !== undefined,
        signal,
      }),
    show: (id, { signal } = {}) => transport.call(pathOf(id), { signal }),
    list: ({ status, signal, ...query } = {}) =>
      transport.call('/v1/jobs', { query: { ...query, status: status?.join(',') }, signal }),
    cancel: (id, { graceSeconds, signal } = {}) =>
      transport.call(pathOf(id, '/cancel'), {
        method: 'POST',
        body: graceSeconds === undefined ? {} : { grace_seconds: graceSeconds },
        repeatable: true,
        signal,
      }),
    retry: (id, { signal } = {}) => transport.call(pathOf(id, '/retry'), { method: 'POST', body: {}, signal }),
    updates: (id, follow = {}) =>
      followUpdates({
        ...follow,
        streamUrl: `${transport.url.replace(/^http/, 'ws')}${pathOf(id, '/stream')}`,
        token: options.token,
        WebSocket: options.WebSocket ?? globalThis.WebSocket,
      }),
    history: (id, { after, limit, signal } = {}) =>
      transport.call(pathOf(id, '/updates'), { query: { after, limit }, signal }),
    wait: (id, { signal } = {}) => waitForEnd(client, id, signal),
    result: async (id, { signal } = {}) => readResult(client, await waitForEnd(client, id, signal), signal),
    job: (id) => handleOf(client, id),
    ...fleetOf(transport),
  }
  return client
}

function pathOf(id: string, rest = ''): string {
  return `/v1/jobs/${encodeURIComponent(id)}${rest}`
}

function fleetOf(transport: Transport): Pick<Client, 'agents' | 'setAgent' | 'createJoinToken' | 'createKey'> {
  return {
    agents: ({ signal, ...query } = {}) => transport.call('/v1/agents', { query, signal }),
    setAgent: (id, action, { signal } = {}) =>
      transport.call(`/v1/agents/${encodeURIComponent(id)}/${action}`, {
        method: 'POST',
        body: {},
        repeatable: true,
        signal,
      }),
    createJoinToken: ({ signal, pool, ttlSeconds } = {}) =>
      transport.call('/v1/join-tokens', { method: 'POST', body: defined({ pool, ttl_seconds: ttlSeconds }), signal }),
    createKey: ({ signal, ttlSeconds, ...key }) =>
      transport.call('/v1/keys', { method: 'POST', body: defined({ ...key, ttl_seconds: ttlSeconds }), signal }),
  }
}

function handleOf(client: Client, id: string): JobHandle {
  return {
    id,
    show: (options) => client.show(id, options),
    cancel: (options) => client.cancel(id, options),
    retry: (options) => client.retry(id, options),
    updates: (options) => client.updates(id, options),
    wait: (options) => client.wait(id, options),
    result: (options) => client.result(id, options),
  }
}

function defined(fields: Readonly<Record<string, unknown>>): Record<string, unknown> {
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined))
}
