// What http/ needs of Node: WebSockets by the package ws, and the response beneath a Hono context.
import { upgradeWebSocket, type HttpBindings } from '@hono/node-server'
import type { WSContext } from 'hono/ws'
import { WebSocketServer, type WebSocket } from 'ws'
import type { Platform } from '../http/platform.ts'

/** PROTOCOL 4. */
const PING_EVERY_MS = 30_000
/** A client that reads slowly answers late: only the second missing answer ends the connection. */
const MAX_MISSED_PONGS = 2
/** Clients have nothing to say; what they send is not even kept for a moment beyond this. */
const MAX_CLIENT_MESSAGE_BYTES = 64 * 1024
const SUBPROTOCOL = 'dray.v1'

export function createNodePlatform(): Platform {
  return {
    upgradeWebSocket: upgradeWebSocket as Platform['upgradeWebSocket'],
    bufferedBytes: (socket) => raw(socket).bufferedAmount,
    keepAlive: (socket) => keepAlive(raw(socket)),
    terminate: (socket) => raw(socket).terminate(),
    cutOff(context) {
      const { outgoing } = context.env as HttpBindings
      outgoing.destroy()
      return true
    },
  }
}

export function createWebSocketServer(): WebSocketServer {
  return new WebSocketServer({
    noServer: true,
    // Updates are many and small, and a compressor's memory for each client is not.
    perMessageDeflate: false,
    maxPayload: MAX_CLIENT_MESSAGE_BYTES,
    // Never the subprotocol that carries the key.
    handleProtocols: (offered) => (offered.has(SUBPROTOCOL) ? SUBPROTOCOL : false),
  })
}

function raw(socket: WSContext): WebSocket {
  return socket.raw as WebSocket
}

function keepAlive(socket: WebSocket): () => void {
  let missed = 0
  socket.on('pong', () => {
    missed = 0
  })
  const timer = setInterval(() => {
    if (missed >= MAX_MISSED_PONGS) {
      socket.terminate()
      return
    }
    missed += 1
    socket.ping()
  }, PING_EVERY_MS)
  return () => clearInterval(timer)
}
