// What is used of Deno, as types: the project is checked by TypeScript's own compiler, which does not know that runtime.

export interface DenoServer {
  readonly finished: Promise<void>
  /** Takes no new connections; resolves with the last one. */
  shutdown(): Promise<void>
}

export interface DenoRuntime {
  serve(
    options: {
      readonly hostname: string
      readonly port: number
      readonly signal: AbortSignal
      readonly cert?: string
      readonly key?: string
      readonly onListen: (address: { readonly port: number }) => void
    },
    handler: (request: Request) => Response | Promise<Response>,
  ): DenoServer
  upgradeWebSocket(
    request: Request,
    options: { readonly protocol?: string; readonly idleTimeout: number },
  ): { readonly response: Response; readonly socket: WebSocket }
}

export const deno = (globalThis as unknown as { Deno: DenoRuntime }).Deno
