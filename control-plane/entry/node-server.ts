// The HTTP server on Node. What never becomes a request that Hono could answer (a broken request line, oversized
// headers, an address that is none) is answered here, as problem JSON like everything else.
import {
  createServer,
  type IncomingMessage,
  type RequestListener,
  type ServerOptions,
  type ServerResponse,
} from 'node:http'
import { createServer as createSecureServer } from 'node:https'
import type { AddressInfo } from 'node:net'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { createAdaptorServer, type ServerType, type WebSocketServerLike } from '@hono/node-server'
import type { Duplex } from 'node:stream'
import { AppError, problemOf } from '../../shared/errors.ts'
import { newId } from '../../shared/ids.ts'
import type { HostServer, ListenOptions } from './hosted.ts'
import { createWebSocketServer } from './node-platform.ts'

/** Headers may take this long to arrive, a whole request that long. */
const HEADERS_TIMEOUT_MS = 20_000
const REQUEST_TIMEOUT_MS = 120_000

export async function startNodeServer(options: ListenOptions): Promise<HostServer> {
  const { app, host, port, tls } = options
  const sockets = createWebSocketServer()
  const server = createAdaptorServer({
    fetch: app.fetch,
    // Stands in where a request names no host, which HTTP/1.0 allows.
    hostname: 'localhost',
    // The adapter's type wants fewer kinds of message than ws has.
    websocket: { server: sockets as unknown as WebSocketServerLike },
    overrideGlobalObjects: false,
    ...listenerOptions(tls),
  })
  server.on('clientError', answerClientError)
  server.listen(port, host)
  await once(server, 'listening')
  const { port: boundPort } = server.address() as AddressInfo
  return {
    url: `${tls ? 'https' : 'http'}://${host.includes(':') ? `[${host}]` : host}:${boundPort}`,
    async close(graceMs) {
      const closed = new Promise((resolve) => server.close(resolve))
      // Not awaited for longer than the grace: whoever is left then does not read.
      const timer = setTimeout(() => {
        for (const socket of sockets.clients) socket.terminate()
        endConnections(server)
      }, graceMs)
      await closed
      clearTimeout(timer)
    },
  }
}

const TIMEOUTS = {
  headersTimeout: HEADERS_TIMEOUT_MS,
  requestTimeout: REQUEST_TIMEOUT_MS,
  // Our own answer to a missing Host is a problem document; Node's is empty.
  requireHostHeader: false,
} as const

function listenerOptions(tls: ListenOptions['tls']) {
  if (!tls)
    return {
      createServer: ((options: ServerOptions, listener: RequestListener) =>
        createServer({ ...options, ...TIMEOUTS }, guarded(listener))) as typeof createServer,
    }
  return {
    createServer: ((options: ServerOptions, listener: RequestListener) =>
      createSecureServer({ ...options, ...TIMEOUTS }, guarded(listener))) as typeof createSecureServer,
    serverOptions: { cert: readFileSync(tls.certFile), key: readFileSync(tls.keyFile) },
  }
}

/** The adapter answers what is no address with an empty 400. */
function guarded(listener: RequestListener): RequestListener {
  return (incoming, outgoing) => {
    if (isAddress(incoming)) return listener(incoming, outgoing)
    sendProblem(outgoing, new AppError('bad_request', 'The request has no valid address or Host header.'))
  }
}

function isAddress({ url = '', headers: { host = 'localhost' } }: IncomingMessage): boolean {
  if (url.includes('\\') || !/^[A-Za-z0-9._:[\]-]+$/.test(host)) return false
  // The absolute form is for proxies, but a server has to understand it.
  if (/^https?:\/\//.test(url)) return URL.parse(url)?.host === host.toLowerCase()
  return url.startsWith('/') && URL.canParse(url, `http://${host}`)
}

function sendProblem(outgoing: ServerResponse, error: AppError): void {
  const problem = problemOf(error, newId('req'))
  outgoing.writeHead(problem.status, {
    'Content-Type': 'application/problem+json',
    'X-Content-Type-Options': 'nosniff',
  })
  outgoing.end(JSON.stringify(problem))
}

const CLIENT_ERRORS: Readonly<Record<string, readonly [status: string, detail: string]>> = {
  HPE_HEADER_OVERFLOW: ['431 Request Header Fields Too Large', 'The headers are larger than 16 KiB.'],
  ERR_HTTP_REQUEST_TIMEOUT: ['408 Request Timeout', 'The request did not arrive in time.'],
}

/** The parser gave up on this connection: what is left is to say so and to close. */
function answerClientError(error: NodeJS.ErrnoException, socket: Duplex): void {
  if (error.code === 'ECONNRESET' || !socket.writable) {
    socket.destroy()
    return
  }
  const [line, detail] = CLIENT_ERRORS[error.code ?? ''] ?? ['400 Bad Request', 'The request is not valid HTTP.']
  const problem = { ...problemOf(new AppError('bad_request', detail), newId('req')), status: Number(line.slice(0, 3)) }
  const body = JSON.stringify(problem)
  const headers = [`HTTP/1.1 ${line}`, 'Content-Type: application/problem+json', `Content-Length: ${body.length}`]
  socket.end(`${[...headers, 'Connection: close'].join('\r\n')}\r\n\r\n${body}`)
}

function endConnections(server: ServerType): void {
  if ('closeAllConnections' in server) server.closeAllConnections()
}
