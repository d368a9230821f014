// Portable: Web APIs only.
//
// Reads a request's body: JSON in UTF-8, at most 16 MiB, strictly (shared/strict-json.ts). Memory is bounded twice: per
// body, and over all bodies that are being worked on, so that many large ones at once are told to come back.
import { AppError } from '../../shared/errors.ts'
import { parseStrictJson, StrictJsonError } from '../../shared/strict-json.ts'

const MAX_BODY_BYTES = 16 * 2 ** 20
const MAX_DEPTH = 100
/** So many bodies of full size at once. */
const MAX_BODIES_IN_WORK = 8

export interface BodyReader {
  /** The parsed body, or undefined where there is none. Runs `use` while the body counts as being worked on. */
  read<T>(request: Request, use: (body: unknown) => Promise<T>): Promise<T>
}

export function createBodyReader(maxBodyBytes = MAX_BODY_BYTES): BodyReader {
  let bytesInWork = 0
  return {
    async read(request, use) {
      checkHeaders(request, maxBodyBytes)
      let taken = 0
      const take = (bytes: number): void => {
        taken += bytes
        bytesInWork += bytes
        if (bytesInWork > MAX_BODIES_IN_WORK * maxBodyBytes)
          throw new AppError('unavailable', 'Too many large bodies are being read at once: nothing was changed.')
      }
      try {
        const bytes = await readBytes(request, maxBodyBytes, take)
        return await use(bytes.byteLength === 0 ? undefined : parse(bytes))
      } finally {
        bytesInWork -= taken
      }
    },
  }
}

function checkHeaders(request: Request, maxBodyBytes: number): void {
  const encoding = request.headers.get('content-encoding')
  if (encoding !== null)
    throw new AppError('unsupported_media_type', `The body has Content-Encoding "${encoding}", but must have none.`)
  if (Number(request.headers.get('content-length') ?? 0) > maxBodyBytes) throw tooLarge(maxBodyBytes)
}

/** Asked once there is a byte: some runtimes give an empty stream where a request has no body. */
function checkType(request: Request): void {
  const type = request.headers.get('content-type') ?? ''
  if (!/^\s*application\/json\s*(;\s*charset\s*=\s*"?utf-8"?\s*)?$/i.test(type))
    throw new AppError('unsupported_media_type', `The body has Content-Type "${type}", but must be "application/json".`)
}

function tooLarge(maxBodyBytes: number): AppError {
  return new AppError('too_large', `The body is larger than ${maxBodyBytes} bytes.`)
}

/** Reads up to the limit; a body without Content-Length is cut off where it passes it. */
async function readBytes(request: Request, maxBodyBytes: number, take: (bytes: number) => void): Promise<Uint8Array> {
  if (request.body === null) return new Uint8Array()
  const chunks: Uint8Array[] = []
  let total = 0
  const reader = request.body.getReader() as ReadableStreamDefaultReader<Uint8Array>
  try {
    // Ends with the body, or at the limit.
    for (;;) {
      const { done, value } = await reader.read()
      if (done) break
      if (total === 0 && value.byteLength > 0) checkType(request)
      total += value.byteLength
      if (total > maxBodyBytes) throw tooLarge(maxBodyBytes)
      take(value.byteLength)
      chunks.push(value)
    }
  } finally {
    reader.releaseLock()
  }
  return joined(chunks, total)
}

function joined(chunks: readonly Uint8Array[], total: number): Uint8Array {
  const [only] = chunks
  if (only && chunks.length === 1) return only
  const bytes = new Uint8Array(total)
  let at = 0
  for (const chunk of chunks) {
    bytes.set(chunk, at)
    at += chunk.byteLength
  }
  return bytes
}

function parse(bytes: Uint8Array): unknown {
  try {
    const text = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes)
    return parseStrictJson(text, { maxDepth: MAX_DEPTH })
  } catch (error) {
    if (error instanceof StrictJsonError)
      throw new AppError('bad_request', `The body cannot be read: ${error.message}.`)
    if (error instanceof TypeError) throw new AppError('bad_request', 'The body cannot be read: it is not UTF-8.')
    throw error
  }
}
