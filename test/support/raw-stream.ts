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
  /** Tells the server how much has arrived, as our own client does. */
  readonly confirms?: boolean
  /** In the turn in which it came. */
  readonly onFrame?: (frame: Frame) => void
}

export function openRawStream({ url, token, limit, confirms = false, onFrame }: RawStreamOptions): RawStream {
  const socket = new WebSocket(url, [], { headers: { authorization: `Bearer ${token}` } })
  const frames: Frame[] = []
  let code: number | null = null
  let received = 0
  socket.on('message', (data) => {
    const text = (data as Buffer).toString()
    received += text.length
    if (confirms) socket.send(JSON.stringify({ received }))
    const message = JSON.parse(text) as Frame | Frame[]
    const came = Array.isArray(message) ? message : [message]
    frames.push(...came)
    if (onFrame) for (const frame of came) onFrame(frame)
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
