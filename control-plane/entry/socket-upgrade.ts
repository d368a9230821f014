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

export interface SocketOptions {
  /** The runtime gives sockets that are open already and fire no event for it. */
  readonly isOpen: boolean
  readonly onSend?: (socket: WebSocket, characters: number) => void
}

export function socketUpgrade(open: OpenSocket, options: SocketOptions): UpgradeWebSocket {
  return defineWebSocketHelper((context, events) => {
    const offered = (context.req.header('sec-websocket-protocol') ?? '').split(',').map((name) => name.trim())
    const protocol = offered.includes(SUBPROTOCOL) ? SUBPROTOCOL : undefined
    return open(context, protocol, (socket) => listen(socket, events, options))
  })
}

function listen(socket: WebSocket, events: WSEvents, { isOpen, onSend }: SocketOptions): void {
  const context = new WSContext({
    raw: socket,
    get readyState() {
      return socket.readyState
    },
    protocol: socket.protocol,
    send(data) {
      // One that its client has left throws; the relay hears of that by the close event.
      if (socket.readyState !== WebSocket.OPEN) return
      socket.send(data)
      onSend?.(socket, (data as string).length)
    },
    close: (code, reason) => socket.close(code, reason),
  })
  socket.addEventListener('close', (event) => events.onClose?.(event, context))
  socket.addEventListener('error', (event) => events.onError?.(event, context))
  if (isOpen) events.onOpen?.(new Event('open'), context)
  else socket.addEventListener('open', (event) => events.onOpen?.(event, context))
}
