// Hono's WebSocket upgrade for runtimes whose sockets are Web API objects (Deno, workerd). The adapters that Hono brings
// choose the subprotocol for us, which would echo the client's key, or never say that a socket is open.
import type { Context } from 'hono'
import { defineWebSocketHelper, WSContext, type UpgradeWebSocket, type WSEvents } from 'hono/ws'

const SUBPROTOCOL = 'dray.v1'

/** Makes the response of an upgrade. `serve` is called with the socket as soon as it may be listened to. */
export type OpenSocket = (
  context: Context,
  protocol: string | undefined,
  serve: (socket: WebSocket) => void,
) => Response

/** `isOpen`: the runtime gives sockets that are open already and fire no event for it. */
export function socketUpgrade(open: OpenSocket, { isOpen }: { readonly isOpen: boolean }): UpgradeWebSocket {
  return defineWebSocketHelper((context, events) => {
    const offered = (context.req.header('sec-websocket-protocol') ?? '').split(',').map((name) => name.trim())
    const protocol = offered.includes(SUBPROTOCOL) ? SUBPROTOCOL : undefined
    return open(context, protocol, (socket) => listen(socket, events, isOpen))
  })
}

function listen(socket: WebSocket, events: WSEvents, isOpen: boolean): void {
  const context = new WSContext({
    raw: socket,
    readyState: socket.readyState as 0 | 1 | 2 | 3,
    protocol: socket.protocol,
    // A socket that its client has left throws; the relay hears of it by the close event.
    send: (data) => void (socket.readyState === WebSocket.OPEN && socket.send(data)),
    close: (code, reason) => socket.close(code, reason),
  })
  socket.addEventListener('close', (event) => events.onClose?.(event, context))
  socket.addEventListener('error', (event) => events.onError?.(event, context))
  if (isOpen) events.onOpen?.(new Event('open'), context)
  else socket.addEventListener('open', (event) => events.onOpen?.(event, context))
}
