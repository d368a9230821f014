// A small real HTTP and WebSocket server that does what a test tells it, faults included: what the client must survive.

import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { WebSocketServer, type WebSocket as ServerSocket } from 'ws'
import { createClient, type Client } from '../../shared/client/create-client.ts'
import { terminalSeq } from '../../shared/position.ts'

export interface ScriptedServer {
  url: string
  client: Client
  /** Cursors that clients came with. */
  cursors: number[]
  protocols: string[]
  requests: { method: string; path: string; body: unknown; headers: NodeJS.Dict<string | string[]> }[]
}

const open: { http: Server; sockets: WebSocketServer }[] = []

/** Give it to afterEach: ends every server of this file. */
export async function endServers(): Promise<void> {
  for (const { http, sockets } of open.splice(0)) {
    for (const socket of sockets.clients) socket.terminate()
    sockets.close()
    http.closeAllConnections()
    await new Promise((resolve) => http.close(resolve))
  }
}

export type Answer = { status: number; body?: unknown; text?: string }

/** Each WebSocket goes to `onStream`, each HTTP request to `answer`. */
export async function serve(
  onStream: (socket: ServerSocket, after: number, connection: number) => void,
  answer: (path: string) => Answer = () => ({ status: 404 }),
): Promise<ScriptedServer> {
  const server = { cursors: [], protocols: [], requests: [] } as unknown as ScriptedServer
  const http = createServer((request, response) => {
    const parts: Buffer[] = []
    request.on('data', (part: Buffer) => parts.push(part))
    request.on('end', () => {
      const text = Buffer.concat(parts).toString()
      const path = request.url ?? ''
      server.requests.push({
        method: request.method ?? '',
        path,
        body: text === '' ? undefined : JSON.parse(text),
        headers: request.headers,
      })
      const { status, body, text: raw } = answer(path)
      response.writeHead(status, { 'content-type': 'application/json' }).end(raw ?? JSON.stringify(body ?? {}))
    })
  })
  const sockets = new WebSocketServer({
    server: http,
    handleProtocols: (offered) => (offered.has('dray.v1') ? 'dray.v1' : false),
  })
  sockets.on('connection', (socket, request) => {
    const after = Number(new URL(request.url ?? '', 'http://x').searchParams.get('after'))
    server.cursors.push(after)
    server.protocols.push(String(request.headers['sec-websocket-protocol']))
    onStream(socket, after, server.cursors.length)
  })
  await new Promise<void>((resolve) => http.listen(0, '127.0.0.1', resolve))
  open.push({ http, sockets })
  server.url = `http://127.0.0.1:${(http.address() as AddressInfo).port}`
  server.client = createClient({ url: server.url, token: 'dray_secret' })
  return server
}

/** An update as the server would send it. */
export const frame = (seq: number, more: Record<string, unknown> = {}): string =>
  JSON.stringify({
    type: 'log_update',
    job_id: 'job_1',
    attempt: Math.floor(seq / 2 ** 32),
    at: '2026-11-25T00:00:00Z',
    seq,
    content: `${seq}`,
    ...more,
  })

export const terminal = (attempt = 1): string =>
  frame(terminalSeq(attempt), {
    type: 'job_update',
    status: 'completed',
    exit: { code: 0, oom_killed: false, reason: 'exited' },
    duration: 1,
  })
