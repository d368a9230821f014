// Portable: Web APIs only.
//
// What the client offers, as types with their units, promises and errors. create-client.ts makes one.
import type { AgentView } from '../fleet.ts'
import type { JobView, Status } from '../job.ts'
import type { SubmitBody } from '../job-spec.ts'
import type { Frame, StoryFrame } from '../update.ts'
import type { TransportOptions } from './transport.ts'
import type { UpdatesOptions } from './updates.ts'

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
