// Reads a container's output from its attached socket into the queue, at the container's pace, whatever the consumer
// does. It never stops reading: an unread socket blocks the container and then the engine. When more than bufferBytes are
// queued it drops the socket instead, and says from which position Docker's log has to be read.

import type { Socket } from 'node:net'
import { createLineSplitter, type LineSplitter } from '../../shared/json-lines.ts'
import { createDemux } from './demux.ts'
import { createLineMemory, type LineMemory } from './line-memory.ts'
import type { LineQueue } from './line-queue.ts'
import type { AttachedTail } from './log-place.ts'

/** Pieces handed out since the container's start, per stream. A line over maxLineBytes is several pieces. */
export type OutputPosition = { stdout: number; stderr: number }

export type AttachedEnd = {
  /** The socket ended by itself, between two frames. Only the container's exit can tell whether that was its end. */
  clean: boolean
  position: OutputPosition
  /** What was delivered last, to hold the log against. */
  tails: Record<'stdout' | 'stderr', AttachedTail>
  /** Hands out the last lines, which had no newline. Only for an end that was the container's. */
  flush(): void
}

export type AttachedOptions = {
  socket: Socket
  queue: LineQueue
  position: OutputPosition
  bufferBytes: number
  maxLineBytes: number
}

// An input of this size is in the container's pipe as soon as it was written; only then may the socket be destroyed.
const PIPE_BYTES = 64 * 1024

export const readAttached = (options: AttachedOptions): Promise<AttachedEnd> => {
  const { socket, queue, bufferBytes } = options
  const position = { ...options.position }
  const memory = { stdout: createLineMemory(), stderr: createLineMemory() }
  const splitters = createSplitters(options, position, memory)
  const demux = createDemux((stream, bytes) => {
    // The engine's own word about a broken stream is no output; the log tells what is missing.
    if (stream === 'system') throw new Error('Cannot read on: the engine reports a failure within the output.')
    splitters[stream].push(bytes)
  })
  const flush = (): void => {
    splitters.stdout.end()
    splitters.stderr.end()
  }
  return new Promise((resolve) => {
    let reading = true
    const stop = (clean: boolean): void => {
      if (!reading) return
      reading = false
      const tailOf = (stream: 'stdout' | 'stderr'): AttachedTail => ({
        memory: memory[stream],
        open: splitters[stream].open(),
      })
      resolve({ clean, position, tails: { stdout: tailOf('stdout'), stderr: tailOf('stderr') }, flush })
    }
    socket.on('data', (chunk: Buffer) => {
      // Past the switch the socket may have to stay for the input's sake: it is read and thrown away.
      if (!reading) return
      if (!pushOrFail(demux, chunk) || queue.sizeBytes() > bufferBytes) {
        stop(false)
        destroyWhenInputIsThrough(socket)
      }
    })
    socket.once('end', () => {
      stop(demux.clean())
      // After 'end' neither 'finish' nor 'close' comes by itself if the container ignored its input.
      socket.destroy()
    })
    socket.once('close', () => stop(false))
    if (socket.destroyed) stop(false)
  })
}

const createSplitters = (
  { queue, maxLineBytes }: AttachedOptions,
  position: OutputPosition,
  memory: Record<'stdout' | 'stderr', LineMemory>,
): Record<'stdout' | 'stderr', LineSplitter> => {
  const splitterOf = (stream: 'stdout' | 'stderr'): LineSplitter =>
    createLineSplitter({
      maxLineBytes,
      onLine: (line) => {
        position[stream] += 1
        memory[stream].note(position[stream], line.bytes)
        queue.push({ ...line, stream, at: Date.now(), count: position[stream] })
      },
    })
  return { stdout: splitterOf('stdout'), stderr: splitterOf('stderr') }
}

const pushOrFail = (demux: ReturnType<typeof createDemux>, chunk: Buffer): boolean => {
  try {
    demux.push(chunk)
    return true
  } catch {
    // Not frames, or the engine's own failure: the log is read instead, from the last piece that was still good.
    return false
  }
}

/** The engine closes the container's stdin with the socket, so a large input must not be cut off by the switch. */
const destroyWhenInputIsThrough = (socket: Socket): void => {
  if (socket.writableFinished && socket.bytesWritten <= PIPE_BYTES) socket.destroy()
}
