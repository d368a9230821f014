// Portable: Web APIs only.
//
// A relay's frames as the body of a response: NDJSON or server-sent events. The relay pushes into a queue that knows its
// size, the reader pulls at its own pace; when the queue grows too long the relay closes it, and the client sees a
// response that broke off, never one that looks complete.
import type { Clock } from '../core/ports.ts'
import type { FrameBatch, FrameSink, SerialFrame } from '../core/relay.ts'

export interface StreamFormat {
  readonly contentType: string
  frame(frame: SerialFrame): string
  /** Keeps proxies and clients from giving up in silence. */
  readonly keepAlive: string
}

export const NDJSON: StreamFormat = {
  contentType: 'application/x-ndjson',
  frame: ({ json }) => `${json}\n`,
  keepAlive: '\n',
}

export const SERVER_SENT_EVENTS: StreamFormat = {
  contentType: 'text/event-stream',
  frame: ({ json, seq }) => `${seq === null ? '' : `id: ${seq}\n`}data: ${json}\n\n`,
  keepAlive: ':\n\n',
}

export interface FrameStreamOptions {
  readonly format: StreamFormat
  readonly clock: Clock
  readonly keepAliveMs: number
  /** Ends the stream, complete, after so many frames. */
  readonly limit: number | null
  /** Starts the flow into the sink; returns detach. */
  readonly attach: (sink: FrameSink) => () => void
  /** The relay gave this client up: break the response off. False where that is left to the stream itself. */
  readonly onCut: (reason: string) => boolean
}

/** A stream under way. `draining`: nothing more comes in, what is queued still goes out. */
interface Flow {
  readonly options: FrameStreamOptions
  readonly queue: Uint8Array[]
  controller: ReadableStreamDefaultController<Uint8Array> | null
  queuedBytes: number
  framesLeft: number
  phase: 'open' | 'draining' | 'closed'
  stopTimer: () => void
  detach: () => void
}

const encoder = new TextEncoder()

export function createFrameStream(options: FrameStreamOptions): ReadableStream<Uint8Array> {
  const flow: Flow = {
    options,
    queue: [],
    controller: null,
    queuedBytes: 0,
    framesLeft: options.limit ?? Number.POSITIVE_INFINITY,
    phase: 'open',
    stopTimer: () => undefined,
    detach: () => undefined,
  }
  return new ReadableStream<Uint8Array>(
    {
      start(controller) {
        flow.controller = controller
        restartTimer(flow)
        const detach = options.attach(sinkOf(flow))
        // The relay may have closed while attaching, before there was anything to detach from.
        if (flow.phase === 'closed') detach()
        else flow.detach = detach
      },
      pull: () => flush(flow),
      cancel: () => finish(flow),
    },
    // One chunk at most in the stream's own queue: what a client has not taken is counted in ours.
    { highWaterMark: 1 },
  )
}

function sinkOf(flow: Flow): FrameSink {
  const { format, onCut } = flow.options
  return {
    send(batch: FrameBatch) {
      if (flow.phase !== 'open') return
      const frames = batch.frames.slice(0, flow.framesLeft)
      flow.framesLeft -= frames.length
      restartTimer(flow)
      push(flow, frames.map((frame) => format.frame(frame)).join(''))
      if (flow.framesLeft === 0) drain(flow)
    },
    bufferedBytes: () => flow.queuedBytes,
    close(code, reason) {
      if (code === 1000) return drain(flow)
      if (flow.phase === 'closed') return
      finish(flow)
      if (!onCut(reason)) flow.controller?.error(new Error(`The stream was cut off: ${reason}`))
    },
  }
}

function push(flow: Flow, text: string): void {
  const bytes = encoder.encode(text)
  flow.queue.push(bytes)
  flow.queuedBytes += bytes.byteLength
  flush(flow)
}

function drain(flow: Flow): void {
  if (flow.phase === 'open') flow.phase = 'draining'
  flush(flow)
}

/** Hands on what the reader asks for; after the last of a drained stream, its end. */
function flush(flow: Flow): void {
  const { controller, queue } = flow
  if (!controller || flow.phase === 'closed') return
  while ((controller.desiredSize ?? 0) > 0) {
    const chunk = queue.shift()
    if (!chunk) break
    flow.queuedBytes -= chunk.byteLength
    controller.enqueue(chunk)
  }
  if (flow.phase !== 'draining' || queue.length > 0) return
  finish(flow)
  controller.close()
}

function finish(flow: Flow): void {
  flow.phase = 'closed'
  flow.queue.length = 0
  flow.stopTimer()
  flow.detach()
}

function restartTimer(flow: Flow): void {
  const { clock, keepAliveMs, format } = flow.options
  flow.stopTimer()
  flow.stopTimer = clock.after(keepAliveMs, () => {
    // A client that does not even take what is queued needs no sign of life.
    if (flow.queuedBytes === 0) push(flow, format.keepAlive)
    restartTimer(flow)
  })
}
