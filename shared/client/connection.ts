// Portable: Web APIs only.
//
// One WebSocket to a job's stream, as a queue that is read frame by frame. The queue is bounded: when the reader is
// slow, the connection is closed ("full") and the reader goes on from its cursor with a new one after it has taken what
// is queued. So memory is bounded on both sides and nothing is lost: the server keeps the story.
import type { Frame } from '../update.ts'

export interface ConnectionOptions {
  /** With ws:// or wss:// and the cursor. */
  readonly url: string
  readonly token?: string | undefined
  readonly WebSocket: typeof globalThis.WebSocket
  /** Queue bound in characters of JSON text. */
  readonly maxQueuedChars: number
  /** No message for this long: give the connection up, because a dead peer looks just like a silent one. */
  readonly idleMs: number
}

export type ConnectionEnd =
  | { readonly kind: 'closed'; readonly code: number; readonly reason: string }
  /** We closed it because the reader is slow. */
  | { readonly kind: 'full' }
  | { readonly kind: 'idle' }
  /** The server sent what is no frame. */
  | { readonly kind: 'garbled' }

export interface Connection {
  /** The next frame, or how the connection ended, once every queued frame was taken. Never rejects. */
  next(): Promise<Frame | ConnectionEnd>
  /** Milliseconds since the connection was opened; 0 before. */
  upMs(): number
  close(): void
}

export function isConnectionEnd(value: Frame | ConnectionEnd): value is ConnectionEnd {
  return 'kind' in value && !('type' in value)
}

export function openConnection(options: ConnectionOptions): Connection {
  const protocols = options.token === undefined ? ['dray.v1'] : ['dray.v1', `bearer.${options.token}`]
  const socket = new options.WebSocket(options.url, protocols)
  const queue = createFrameQueue()
  let openedAtMs: number | undefined
  let idleTimer: ReturnType<typeof setTimeout> | undefined

  const finish = (how: ConnectionEnd): void => {
    queue.end(how)
    clearTimeout(idleTimer)
    // Closing a socket that is still connecting fires "close" later; its result no longer matters then.
    socket.close()
  }
  const restartIdle = (): void => {
    clearTimeout(idleTimer)
    idleTimer = setTimeout(() => finish({ kind: 'idle' }), options.idleMs)
  }
  restartIdle()
  const word = createReceivedWord((text) => socket.send(text))

  socket.addEventListener('open', () => (openedAtMs = performance.now()))
  socket.addEventListener('close', (event) => finish({ kind: 'closed', code: event.code, reason: event.reason }))
  // "close" always follows with the code.
  socket.addEventListener('error', () => {})
  socket.addEventListener('message', ({ data }: MessageEvent<unknown>) => {
    // A socket that we closed goes on to deliver what is on its way: the next connection asks for it again.
    if (queue.ended()) return
    restartIdle()
    if (typeof data === 'string') word.count(data.length)
    const frames = typeof data === 'string' ? parseFrames(data) : undefined
    if (typeof data !== 'string' || frames === undefined) finish({ kind: 'garbled' })
    else if (queue.push(frames, data.length) > options.maxQueuedChars) finish({ kind: 'full' })
  })

  return {
    next: () => queue.next(),
    upMs: () => (openedAtMs === undefined ? 0 : performance.now() - openedAtMs),
    close: () => finish({ kind: 'closed', code: 1000, reason: 'closed by the reader' }),
  }
}

/** So much may arrive before the server is told; far below what a server waits for. */
const TELL_EVERY_CHARS = 2 ** 20

/** Where a server cannot see how much its client has taken (workerd) it is told: `{"received": <characters>}`. */
function createReceivedWord(send: (text: string) => void): { count(chars: number): void } {
  let received = 0
  let told = 0
  return {
    count(chars) {
      received += chars
      if (received - told < TELL_EVERY_CHARS) return
      told = received
      send(JSON.stringify({ received }))
    },
  }
}

/** One reader. What was pushed before the end is still handed out; what comes after it is not taken. */
function createFrameQueue() {
  const messages: { readonly frames: readonly Frame[]; readonly chars: number }[] = []
  let queuedChars = 0
  let at = 0
  let ended: ConnectionEnd | undefined
  let wake: (() => void) | undefined
  return {
    ended: (): boolean => ended !== undefined,
    end(how: ConnectionEnd): void {
      ended ??= how
      wake?.()
    },
    /** Returns how many characters are queued now. */
    push(frames: readonly Frame[], chars: number): number {
      messages.push({ frames, chars })
      queuedChars += chars
      wake?.()
      return queuedChars
    },
    async next(): Promise<Frame | ConnectionEnd> {
      for (;;) {
        const first = messages[0]
        const frame = first?.frames[at]
        if (frame) {
          at += 1
          return frame
        }
        if (first) {
          messages.shift()
          queuedChars -= first.chars
          at = 0
        } else if (ended) return ended
        else await new Promise<void>((resolve) => (wake = resolve))
      }
    },
  }
}

/** A message is one frame or an array of frames; unknown types pass. */
function parseFrames(text: string): readonly Frame[] | undefined {
  try {
    const value: unknown = JSON.parse(text)
    const frames = Array.isArray(value) ? (value as unknown[]) : [value]
    return frames.every(isFrame) ? frames : undefined
  } catch {
    // Not JSON: the caller takes it for a broken connection.
    return undefined
  }
}

function isFrame(value: unknown): value is Frame {
  return typeof value === 'object' && value !== null && typeof (value as { type?: unknown }).type === 'string'
}
