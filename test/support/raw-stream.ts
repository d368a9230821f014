// A client of the WebSocket that knows nothing of ours: opens, collects what comes, says how it ended.
import { WebSocket } from 'ws'
import type { Frame } from '../../shared/update.ts'

export interface RawStream {
  readonly frames: readonly Frame[]
  /** Close code, null while it is open. */
  code(): number | null
  /** Takes nothing from the socket any more, so that the server's buffers fill. */
  pause(): void
  resume(): void
  leave(): void
  ended(): Promise<number>
}

export interface RawStreamOptions {
  readonly url: string
  readonly token: string
  /** Leaves after so many frames. */
  readonly limit?: number
}

export function openRawStream({ url, token, limit }: RawStreamOptions): RawStream {
  const socket = new WebSocket(url, [], { headers: { authorization: `Bearer ${token}` } })
  const frames: Frame[] = []
  let code: number | null = null
  socket.on('message', (data) => {
    const message = JSON.parse((data as Buffer).toString()) as Frame | Frame[]
    frames.push(...(Array.isArray(message) ? message : [message]))
    if (limit !== undefined && frames.length >= limit) socket.terminate()
  })
  const ended = new Promise<number>((resolve) => {
    // "close" follows.
    socket.once('error', () => undefined)
    socket.once('close', (its) => {
      code = its
      resolve(its)
    })
  })
  return {
    frames,
    code: () => code,
    pause: () => socket.pause(),
    resume: () => socket.resume(),
    leave: () => socket.terminate(),
    ended: () => ended,
  }
}
