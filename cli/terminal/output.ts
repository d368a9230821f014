// Our stdout and stderr: written in order, with back-pressure, quiet when the reader has gone away.
//
// `write` resolves when the bytes were handed to the system, so a slow reader slows us and not our memory, and nothing is
// lost when the process ends afterwards. After EPIPE (`dray logs … | head`) writes do nothing and `closed` is true.

export interface Output {
  readonly isTTY: boolean
  readonly columns: number
  /** Whether the last byte written ended a line: only then may a progress region be drawn below. */
  readonly atLineStart: boolean
  readonly closed: boolean
  write(chunk: string | Uint8Array): Promise<void>
  /** A sequence that moves or erases and leaves the cursor at the start of a line. */
  control(sequence: string): Promise<void>
}

export function createOutput(stream: NodeJS.WriteStream): Output {
  let closed = false
  let atLineStart = true
  // Without a listener an EPIPE between two writes would end the process with a stack trace.
  stream.on('error', () => (closed = true))
  const send = (chunk: string | Uint8Array): Promise<void> =>
    new Promise((resolve) => {
      stream.write(chunk, (error) => {
        if (error) closed = true
        resolve()
      })
    })
  return {
    // Undefined, whatever its type says, when it is a pipe or a file.
    isTTY: stream.isTTY ?? false,
    get columns() {
      return stream.columns ?? 80
    },
    get atLineStart() {
      return atLineStart
    },
    get closed() {
      return closed
    },
    write(chunk) {
      if (closed || chunk.length === 0) return Promise.resolve()
      atLineStart = typeof chunk === 'string' ? chunk.endsWith('\n') : chunk.at(-1) === 10
      return send(chunk)
    },
    control: (sequence) => (closed ? Promise.resolve() : send(sequence)),
  }
}
