// What http/ needs of Deno. Its sockets ping by themselves, and count what a client has not taken.
import type { WSContext } from 'hono/ws'
import type { Platform } from '../http/platform.ts'
import { deno } from './deno-runtime.ts'
import { socketUpgrade } from './socket-upgrade.ts'

/** Deno pings after this much silence and ends a connection that does not answer. PROTOCOL 4. */
const IDLE_SECONDS = 30

export function createDenoPlatform(): Platform {
  return {
    upgradeWebSocket: socketUpgrade(
      (context, protocol, serve) => {
        const options = { idleTimeout: IDLE_SECONDS, ...(protocol === undefined ? {} : { protocol }) }
        const { response, socket } = deno.upgradeWebSocket(context.req.raw, options)
        serve(socket)
        return response
      },
      { isOpen: false },
    ),
    bufferedBytes: (socket) => raw(socket).bufferedAmount,
    keepAlive: () => () => undefined,
    // Nothing ends a socket but its client's answer, or the ping that it does not answer.
    terminate: (socket) => raw(socket).close(),
    cutOff: () => false,
  }
}

function raw(socket: WSContext): WebSocket {
  return socket.raw as WebSocket
}
