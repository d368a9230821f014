// Plain HTTP over the engine's socket, for the calls that dockerode loses: wait, logs, pull, attach. Promises: every
// call settles, whatever the engine does (dies before the headers, within the body, or never answers), and every failure
// is an EngineError or the caller's own abort reason. Paths carry no API version: the engine then speaks its newest, and
// engines that no longer know an old version keep working.

import http from 'node:http'
import { classifyFailure } from './classify.ts'
import { EngineError } from './engine-error.ts'

export type EngineCall = {
  socketPath: string
  method: 'GET' | 'POST'
  path: string
  headers?: Record<string, string>
  /** For the words of an error. */
  action: string
  subject: string
  /** How long the engine may take to send its headers; the body may take for ever. */
  headersTimeoutMs?: number
  signal?: AbortSignal | undefined
}

const HEADERS_TIMEOUT_MS = 30_000
const MAX_ERROR_BODY_BYTES = 64 * 1024

/** The response of a 2xx answer; its body must be read or destroyed. The signal stays able to destroy it. */
export const openResponse = (call: EngineCall): Promise<http.IncomingMessage> =>
  new Promise((resolve, reject) => {
    const request = requestOf(call)
    const timer = setTimeout(() => request.destroy(silence(call)), call.headersTimeoutMs ?? HEADERS_TIMEOUT_MS)
    request.once('response', (response) => {
      clearTimeout(timer)
      if ((response.statusCode ?? 500) < 300) resolve(response)
      else rejectWithBody(call, response).catch(reject)
    })
    // Stays for good: after the response, a broken socket is reported by the body, and must not be thrown by the request.
    request.on('error', (error) => {
      clearTimeout(timer)
      reject(lossOf(call, error))
    })
    request.end()
  })

/** The request itself, unsent, for attach, which waits for an upgrade instead of a response. */
export const requestOf = (call: EngineCall): http.ClientRequest =>
  http.request({
    socketPath: call.socketPath,
    method: call.method,
    path: call.path,
    headers: { Host: 'docker', ...call.headers },
    agent: false,
    ...(call.signal === undefined ? {} : { signal: call.signal }),
  })

/** Reads a small body to its end; a body that is cut off rejects. */
export const readBody = (call: EngineCall, response: http.IncomingMessage, maxBytes: number): Promise<string> =>
  new Promise((resolve, reject) => {
    const chunks: Buffer[] = []
    let sizeBytes = 0
    response.on('data', (chunk: Buffer) => {
      sizeBytes += chunk.length
      if (sizeBytes <= maxBytes) chunks.push(chunk)
    })
    response.on('error', (error) => reject(lossOf(call, error)))
    // 'close' comes last in every case; without 'complete' the engine went away within its answer.
    response.once('close', () => {
      if (response.complete) resolve(Buffer.concat(chunks).toString('utf8'))
      else reject(lossOf(call, undefined))
    })
  })

export const rejectWithBody = async (call: EngineCall, response: http.IncomingMessage): Promise<never> => {
  const body = await readBody(call, response, MAX_ERROR_BODY_BYTES)
  const { action, subject } = call
  throw new EngineError(
    classifyFailure({ action, subject, status: response.statusCode ?? 500, message: messageIn(body) }),
  )
}

/** What a broken connection means: the caller's own abort keeps its reason, all else is a loss of the engine. */
export const lossOf = (call: Pick<EngineCall, 'action' | 'subject' | 'signal'>, cause: unknown): unknown => {
  if (call.signal?.aborted === true) return call.signal.reason
  if (cause instanceof EngineError) return cause
  const errno = (cause as NodeJS.ErrnoException | undefined)?.code ?? 'ECONNRESET'
  const message = cause instanceof Error ? cause.message : 'connection closed'
  const { action, subject } = call
  return new EngineError(classifyFailure({ action, subject, errno, message }), { cause })
}

export const silence = ({ action, subject }: EngineCall): EngineError =>
  new EngineError(classifyFailure({ action, subject, errno: 'ETIMEDOUT', message: 'no answer' }))

const messageIn = (body: string): string => {
  try {
    const parsed = JSON.parse(body) as { message?: unknown }
    return typeof parsed.message === 'string' ? parsed.message : body
  } catch {
    // Proxies in front of an engine answer in plain text.
    return body
  }
}
