// What http/ needs of workerd. A socket there never says how much its client has not taken: the runtime buffers all of
// it, without a bound. So what was sent is counted, and a client says from time to time how much has arrived
// (`{"received": <characters>}` since it connected; other runtimes ignore that, our own client says it). One that is
// WINDOW_CHARS behind is told to come back with its cursor (4408), whether it could not say it or would not.
import type { Platform } from '../http/platform.ts'
import { socketUpgrade } from './socket-upgrade.ts'
import { workerd, type ServerSocket } from './workerd-runtime.ts'

/** Several clients that do not read fit into the 128 MB of an object. */
const WINDOW_CHARS = 16 * 2 ** 20
const RECEIVED = /^\{"received":(\d{1,15})\}$/

interface Flow {
  sentChars: number
  receivedChars: number
}

export function createWorkerdPlatform(): Platform {
  const flows = new WeakMap<object, Flow>()
  return {
    upgradeWebSocket: socketUpgrade(
      (_context, protocol, serve) => {
        const { 0: client, 1: server } = new workerd.WebSocketPair()
        flows.set(server, watchFlow(server))
        server.accept()
        serve(server)
        const headers: HeadersInit = protocol === undefined ? {} : { 'sec-websocket-protocol': protocol }
        return new workerd.Response(null, { status: 101, webSocket: client, headers })
      },
      {
        isOpen: true,
        onSend(socket, characters) {
          const flow = flows.get(socket)
          if (flow) flow.sentChars += characters
        },
      },
    ),
    bufferedBytes(socket) {
      const flow = flows.get(socket.raw as object)
      return flow && flow.sentChars - flow.receivedChars > WINDOW_CHARS ? Number.POSITIVE_INFINITY : 0
    },
    // Neither can be done with a socket of workerd; Cloudflare itself ends connections that are dead.
    keepAlive: () => () => undefined,
    terminate: () => undefined,
    cutOff: () => false,
  }
}

function watchFlow(socket: ServerSocket): Flow {
  const flow: Flow = { sentChars: 0, receivedChars: 0 }
  socket.addEventListener('message', ({ data }: MessageEvent<unknown>) => {
    const received = Number(RECEIVED.exec(typeof data === 'string' ? data : '')?.[1] ?? 0)
    flow.receivedChars = Math.min(flow.sentChars, Math.max(flow.receivedChars, received))
  })
  return flow
}
