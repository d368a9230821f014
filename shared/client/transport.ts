// Portable: Web APIs only.
//
// One HTTP call to the API: address, key, time limit, errors. Reads are tried again twice when no answer came or the
// server said "later"; writes are not, unless they are idempotent and the caller says so.
import { backoffMs } from '../backoff.ts'
import { errorOfResponse, unreachable, type ApiError } from './api-error.ts'
import { pause } from './pause.ts'

export interface TransportOptions {
  /** Where the control plane answers, for example "https://dray.example.com". */
  readonly url: string
  readonly token?: string | undefined
  readonly fetch?: typeof globalThis.fetch | undefined
  /** Limit of one call in milliseconds; 30,000 unless told. */
  readonly timeoutMs?: number | undefined
}

export interface CallOptions {
  readonly method?: 'GET' | 'POST' | 'DELETE'
  readonly body?: unknown
  readonly headers?: Readonly<Record<string, string>>
  readonly query?: Readonly<Record<string, string | number | undefined>>
  readonly signal?: AbortSignal | undefined
  /** The call may be repeated without harm; true for GET. */
  readonly repeatable?: boolean
}

export interface Transport {
  readonly url: string
  call<T>(path: string, options?: CallOptions): Promise<T>
}

const extraTries = 2
const backoff = { firstMs: 250, maxMs: 2_000 }

export function createTransport(options: TransportOptions): Transport {
  const url = options.url.replace(/\/+$/, '')
  const doFetch = options.fetch ?? globalThis.fetch
  const timeoutMs = options.timeoutMs ?? 30_000

  async function once<T>(path: string, call: CallOptions): Promise<T> {
    const limit = AbortSignal.timeout(timeoutMs)
    const signal = call.signal ? AbortSignal.any([call.signal, limit]) : limit
    const init: RequestInit = { method: call.method ?? 'GET', headers: headersOf(options.token, call), signal }
    if (call.body !== undefined) init.body = JSON.stringify(call.body)
    const response = await doFetch(`${url}${path}${queryOf(call.query)}`, init).catch((error: unknown) => {
      call.signal?.throwIfAborted()
      throw unreachable(url, error)
    })
    if (!response.ok) throw await errorOfResponse(response)
    const text = await response.text().catch((error: unknown) => {
      call.signal?.throwIfAborted()
      throw unreachable(url, error)
    })
    return (text === '' ? undefined : JSON.parse(text)) as T
  }

  return {
    url,
    async call<T>(path: string, call: CallOptions = {}): Promise<T> {
      const tries = (call.repeatable ?? (call.method ?? 'GET') === 'GET') ? extraTries : 0
      for (let failed = 0; ; failed += 1) {
        try {
          return await once<T>(path, call)
        } catch (error) {
          if (failed >= tries || !mayRepeat(error)) throw error
          await pause(backoffMs(failed, backoff, Math.random()), call.signal)
        }
      }
    },
  }
}

function mayRepeat(error: unknown): boolean {
  return error instanceof Error && error.name === 'ApiError' && [0, 502, 503, 504].includes((error as ApiError).status)
}

function headersOf(token: string | undefined, call: CallOptions): Record<string, string> {
  return {
    accept: 'application/json',
    ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
    ...(call.body === undefined ? {} : { 'content-type': 'application/json' }),
    ...call.headers,
  }
}

function queryOf(query: CallOptions['query']): string {
  const params = new URLSearchParams()
  for (const [key, value] of Object.entries(query ?? {})) if (value !== undefined) params.set(key, String(value))
  const text = params.toString()
  return text === '' ? '' : `?${text}`
}
