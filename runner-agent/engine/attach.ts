// Attaching to a container: one socket that carries its stdin and both its outputs. Our own, because dockerode sends a
// JSON body with the request, which reaches the job's stdin when it arrives later than the headers.
//
// Attach before start, else everything printed in between is missing. The socket says nothing about the job's end: it
// also ends, cleanly, when the engine restarts while the job runs on. Whoever holds the socket must keep reading it (an
// unread attach blocks the container and then the engine's kill and inspect as well) or destroy it.

import type { Socket } from 'node:net'
import { lossOf, rejectWithBody, requestOf, silence, type EngineCall } from './raw-http.ts'

const ATTACH_TIMEOUT_MS = 15_000

export const attach = (options: {
  socketPath: string
  id: string
  stdin: boolean
  /** Ends the attaching, not the socket that came of it. */
  signal?: AbortSignal
}): Promise<Socket> => {
  const call: EngineCall = {
    socketPath: options.socketPath,
    method: 'POST',
    path: `/containers/${options.id}/attach?stream=1&stdout=1&stderr=1&stdin=${options.stdin ? 1 : 0}`,
    headers: { Connection: 'Upgrade', Upgrade: 'tcp', 'Content-Length': '0' },
    action: 'attach to container',
    subject: options.id,
  }
  const { signal } = options
  const attached = Promise.withResolvers<Socket>()
  const request = requestOf(call)
  const onAbort = (): void => void request.destroy()
  const timer = setTimeout(() => request.destroy(silence(call)), ATTACH_TIMEOUT_MS)
  if (signal?.aborted === true) onAbort()
  else signal?.addEventListener('abort', onAbort, { once: true })
  request.once('upgrade', (_response, socket, head) => {
    // A socket without an 'error' listener takes the whole agent down; 'close' follows and is what users watch.
    socket.on('error', ignoreBecauseCloseFollows)
    if (head.length > 0) socket.unshift(head)
    attached.resolve(socket)
  })
  request.once('response', (response) => {
    rejectWithBody(call, response).catch(attached.reject)
  })
  request.on('error', (error) => attached.reject(lossOf({ ...call, signal }, error)))
  request.end()
  return attached.promise.finally(() => {
    clearTimeout(timer)
    signal?.removeEventListener('abort', onAbort)
  })
}

/**
 * Writes the whole input and closes the container's stdin; its output stays open. Resolves to false when the container
 * or the engine stopped taking it: a job may end without having read its input, which is no error.
 */
export const sendInput = (socket: Socket, input: Uint8Array): Promise<boolean> =>
  new Promise((resolve) => {
    // When a container ignores its stdin, neither 'finish' nor 'close' comes until somebody destroys the socket.
    socket.once('close', () => resolve(false))
    socket.once('finish', () => resolve(true))
    if (socket.destroyed) resolve(false)
    else socket.end(input)
  })

const ignoreBecauseCloseFollows = (): void => undefined
