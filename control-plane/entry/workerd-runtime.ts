// What is used of workerd, as types: the project is checked without Cloudflare's own, which would replace the Web's.

/** Bindings: settings and secrets are texts. */
export interface WorkerBindings {
  readonly RELAY: DurableObjectNamespace
  readonly [name: string]: unknown
}

export interface WorkerContext {
  /** Keeps the work alive after the answer, for at most 30 s. */
  waitUntil(work: Promise<unknown>): void
}

export interface DurableObjectNamespace {
  idFromName(name: string): DurableObjectId
  get(id: DurableObjectId): { fetch(request: Request): Promise<Response> }
}

interface DurableObjectId {
  toString(): string
}

/** A socket of workerd: it says nothing until it is accepted. */
export interface ServerSocket extends WebSocket {
  accept(): void
}

interface WorkerGlobals {
  readonly WebSocketPair: new () => { readonly 0: WebSocket; readonly 1: ServerSocket }
  readonly Response: new (body: null, init: { status: 101; webSocket: WebSocket; headers: HeadersInit }) => Response
}

export const workerd = globalThis as unknown as WorkerGlobals
