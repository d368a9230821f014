// POST over kept connections, with Node's own HTTP client: a claim stands between a job and its container, and this one
// takes less of a busy machine's CPU than fetch. Settles always: with an answer, an error, or the signal's reason. Follows
// no redirect: keys go to the address that the operator gave.
import http from 'node:http'
import https from 'node:https'

export interface HttpAnswer {
  readonly status: number
  readonly text: string
}

export type Post = (
  path: string,
  headers: Readonly<Record<string, string>>,
  body: string,
  signal: AbortSignal,
) => Promise<HttpAnswer>

/** A grant carries a whole job; a body beyond this is no control plane of ours. */
const MAX_ANSWER_BYTES = 64 * 2 ** 20

export function createPost(baseUrl: string): Post {
  const base = new URL(baseUrl)
  const { request, Agent } = base.protocol === 'https:' ? https : http
  const agent = new Agent({ keepAlive: true, maxSockets: 64 })
  const prefix = base.pathname.replace(/\/+$/, '')
  return (path, headers, body, signal) =>
    new Promise((resolve, reject) => {
      signal.throwIfAborted()
      const call = request(
        new URL(`${prefix}${path}`, base),
        { method: 'POST', agent, signal, headers: { ...headers, 'content-length': String(Buffer.byteLength(body)) } },
        (response) => {
          readText(response).then((text) => resolve({ status: response.statusCode ?? 0, text }), reject)
        },
      )
      call.once('error', (error) => reject(signal.aborted ? (signal.reason as Error) : error))
      call.end(body)
    })
}

async function readText(response: http.IncomingMessage): Promise<string> {
  const parts: Buffer[] = []
  let bytes = 0
  for await (const part of response as AsyncIterable<Buffer>) {
    bytes += part.length
    if (bytes > MAX_ANSWER_BYTES) throw new Error(`The answer is larger than ${MAX_ANSWER_BYTES} bytes.`)
    parts.push(part)
  }
  return Buffer.concat(parts).toString()
}
