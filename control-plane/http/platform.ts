// Portable: Web APIs only.
//
// What the HTTP layer needs from the runtime beyond the fetch API: WebSocket upgrades and the little that Web APIs do
// not say about connections. Each entry (Node, Deno, workerd) gives its own.
import type { Context } from 'hono'
import type { UpgradeWebSocket, WSContext } from 'hono/ws'

export interface Platform {
  readonly upgradeWebSocket: UpgradeWebSocket
  /** Bytes that this client has not taken yet; Infinity where it has to come back instead of being sent more. */
  bufferedBytes(socket: WSContext): number
  /** Pings every 30 s, and ends a connection that has stopped answering. Returns stop. */
  keepAlive(socket: WSContext): () => void
  /** Ends the connection without a close handshake: its client does not read. */
  terminate(socket: WSContext): void
  /** Ends a response that has begun so that the client sees it broken off, not complete. False where it cannot. */
  cutOff(context: Context): boolean
}
