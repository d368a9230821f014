// Takes Docker's multiplexed stream apart: [stream, 0, 0, 0, length as 4 bytes big-endian] [payload], repeated.
// Promises: payload bytes reach the callback as views of the chunks that came in (no copy, nothing buffered but a
// header split over chunks), in order, whatever the cutting. A stream that cannot be this format throws: a length from
// a confused engine must never become an allocation or a wait without end. No back-pressure: the callback is called at once.

export type FrameStream = 'stdout' | 'stderr' | 'system'

export type Demux = {
  push(chunk: Uint8Array): void
  /** True between frames. False at the end of a stream means that its tail was cut off. */
  clean(): boolean
}

export type OnFrameData = (stream: FrameStream, bytes: Uint8Array, frameEnds: boolean) => void

const HEADER_BYTES = 8
// The engine copies 32 KiB at a time and its log drivers at most 1 MiB; anything near this is not a frame header.
const MAX_FRAME_BYTES = 16 * 1024 * 1024
// 0 is the echo of stdin, which the engine's own client writes to stdout; 3 is the engine's own word about a failure.
const STREAMS: readonly FrameStream[] = ['stdout', 'stdout', 'stderr', 'system']

export const createDemux = (onData: OnFrameData, maxFrameBytes = MAX_FRAME_BYTES): Demux => {
  const header = new Uint8Array(HEADER_BYTES)
  let headerBytes = 0
  let stream: FrameStream = 'stdout'
  let missingBytes = 0

  const openFrame = (bytes: Uint8Array, at: number): void => {
    const kind = STREAMS[bytes[at] ?? STREAMS.length]
    if (kind === undefined || bytes[at + 1] !== 0 || bytes[at + 2] !== 0 || bytes[at + 3] !== 0) {
      throw new Error('Cannot read the output of the container: the engine sent something that is not a frame header.')
    }
    const sizeBytes = new DataView(bytes.buffer, bytes.byteOffset + at + 4, 4).getUint32(0)
    if (sizeBytes > maxFrameBytes) {
      throw new Error(`Cannot read the output of the container: the engine announced a frame of ${sizeBytes} bytes.`)
    }
    stream = kind
    missingBytes = sizeBytes
    if (sizeBytes === 0) onData(stream, bytes.subarray(at, at), true)
  }

  const readHeader = (chunk: Uint8Array, at: number): number => {
    if (headerBytes === 0 && chunk.length - at >= HEADER_BYTES) {
      openFrame(chunk, at)
      return at + HEADER_BYTES
    }
    const part = chunk.subarray(at, at + HEADER_BYTES - headerBytes)
    header.set(part, headerBytes)
    headerBytes += part.length
    if (headerBytes === HEADER_BYTES) {
      headerBytes = 0
      openFrame(header, 0)
    }
    return at + part.length
  }

  const readPayload = (chunk: Uint8Array, at: number): number => {
    const part = chunk.subarray(at, at + missingBytes)
    missingBytes -= part.length
    onData(stream, part, missingBytes === 0)
    return at + part.length
  }

  return {
    push(chunk) {
      for (let at = 0; at < chunk.length;) at = missingBytes > 0 ? readPayload(chunk, at) : readHeader(chunk, at)
    },
    clean: () => missingBytes === 0 && headerBytes === 0,
  }
}
