// Portable: Web APIs only.
//
// The client of Dray for TypeScript: Node, Deno, browsers, workerd. It needs zod only (through the shared schemas).
//
//   const dray = createClient({ url, token })
//   const job = await dray.submit({ image: 'alpine', command: ['date'] })
//   for await (const update of dray.updates(job.id)) console.log(update)
//
// Every method throws ApiError; `updates`, `wait` and `result` survive lost connections and restarts of the server.
import type { AgentView } from '../fleet.ts'
import type { JobView, Status } from '../job.ts'
import type { SubmitBody } from '../job-spec.ts'
import type { Frame, StoryFrame } from '../update.ts'
import { createTransport, type TransportOptions } from './transport.ts'
import { readResult, waitForEnd } from './job-end.ts'
import { followUpdates, type UpdatesOptions } from './updates.ts'

export interface ClientOptions extends TransportOptions {
  readonly WebSocket?: typeof globalThis.WebSocket | undefined
}

export interface Page<T> {
  readonly items: readonly T[]
  /** Give it to the next call; null on the last page. */
  readonly cursor: string | null
}

export interface ListJobs {
  readonly status?: readonly Status[] | undefined
  /** "key:value" */
  readonly label?: string | undefined
  readonly pool?: string | undefined
  /** 1 to 500; 50 unless told. */
  readonly limit?: number | undefined
  readonly cursor?: string | undefined
  readonly signal?: AbortSignal | undefined
}

export interface History {
  readonly updates: readonly StoryFrame[]
  readonly cursor: number
  /** The terminal update was reached. */
  readonly done: boolean
}

/** The token is shown this once. */
export interface NewToken {
  readonly id: string
  readonly token: string
  readonly expires_at?: string | undefined
}

interface Signalled {
  readonly signal?: AbortSignal | undefined
}

export interface Client {
  readonly url: string
  /**
   * Submits a job. With an idempotency key the call may be repeated: the same body gives the same job.
   * @throws ApiError bad_request, quota_exceeded, conflict, idempotency_mismatch, unavailable
   */
  submit(body: SubmitBody, options?: Signalled & { readonly idempotencyKey?: string | undefined }): Promise<JobView>
  /** @throws ApiError not_found */
  show(id: string, options?: Signalled): Promise<JobView>
  /** One page, newest first. */
  list(options?: ListJobs): Promise<Page<JobView>>
  /** Idempotent. @throws ApiError conflict when the job has ended otherwise */
  cancel(id: string, options?: Signalled & { readonly graceSeconds?: number | undefined }): Promise<JobView>
  /** A new job of the same spec. @throws ApiError conflict while the job is live */
  retry(id: string, options?: Signalled): Promise<JobView>
  /** Replay from `after`, then live, each update once, until the terminal update. `break` closes the connection. */
  updates(id: string, options?: UpdatesOptions): AsyncGenerator<Frame, void, void>
  /** What is stored now after the cursor, at most `limit` (10,000). */
  history(id: string, options?: Signalled & { readonly after?: number; readonly limit?: number }): Promise<History>
  /** Resolves when the job has ended, however it ended. */
  wait(id: string, options?: Signalled): Promise<JobView>
  /** Waits for the end and resolves with the result, whatever its size. @throws JobFailedError */
  result(id: string, options?: Signalled): Promise<unknown>
  /** The same calls, bound to one job. */
  job(id: string): JobHandle
  agents(options?: Signalled & { readonly limit?: number; readonly cursor?: string }): Promise<Page<AgentView>>
  /** cordon: no new work. drain: no new work, and the agent ends when its jobs have. uncordon: work again. */
  setAgent(id: string, action: 'cordon' | 'uncordon' | 'drain', options?: Signalled): Promise<AgentView>
  /** For one more machine. @throws ApiError forbidden without an admin key */
  createJoinToken(options?: Signalled & { readonly pool?: string; readonly ttlSeconds?: number }): Promise<NewToken>
  createKey(options: Signalled & NewKey): Promise<NewToken>
}

export interface NewKey {
  readonly role: 'admin' | 'tenant'
  readonly tenant?: string | undefined
  readonly name?: string | undefined
  readonly ttlSeconds?: number | undefined
}

export interface JobHandle {
  readonly id: string
  show(options?: Signalled): Promise<JobView>
  cancel(options?: Signalled & { readonly graceSeconds?: number | undefined }): Promise<JobView>
  retry(options?: Signalled): Promise<JobView>
  updates(options?: UpdatesOptions): AsyncGenerator<Frame, void, void>
  wait(options?: Signalled): Promise<JobView>
  result(options?: Signalled): Promise<unknown>
}

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

function fleetOf(
  transport: ReturnType<typeof createTransport>,
): Pick<Client, 'agents' | 'setAgent' | 'createJoinToken' | 'createKey'> {
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
