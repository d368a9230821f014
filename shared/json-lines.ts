// Portable: Web APIs only.
//
// Bytes to lines, lines to objects: the reading half of the container wire (JSON Lines on stdout, free text anywhere).
// Promises: any cutting of the input into chunks gives the same lines; no byte is dropped; memory stays at one line of
// at most maxLineBytes, however long the container's line is and however small the chunks are. It does not decide what
// a line means: that is the update mapper's work.

export type LinePiece = {
  /** Without the newline. May be a view of the chunk it came from: copy it to keep it for long. */
  bytes: Uint8Array
  /** A newline followed these bytes. */
  eol: boolean
  /** 1 for an ordinary line; a line over maxLineBytes comes as parts 1, 2, 3 … of exactly that size, the last smaller. */
  part: number
  /** Another part of the same line follows. */
  continued: boolean
}

export type LineSplitter = {
  push(chunk: Uint8Array): void
  /** Hands out a last line that had no newline. The splitter is then as new. */
  end(): void
  /** A copy of what is held of a line, or of a part of one, that is not over. It stays held. */
  open(): LinePiece
}

const NEWLINE = 10
const FIRST_CAPACITY_BYTES = 1024
// A held buffer larger than this is given away with its line instead of being copied and kept.
const KEPT_CAPACITY_BYTES = 64 * 1024

export const createLineSplitter = (options: {
  maxLineBytes: number
  onLine: (line: LinePiece) => void
}): LineSplitter => {
  const { maxLineBytes, onLine } = options
  const held = createHeldBytes(maxLineBytes)
  let part = 1

  /** Adds bytes of one line; a full part leaves only when a further byte proves that the line goes on. */
  const cutParts = (bytes: Uint8Array): Uint8Array => {
    let rest = bytes
    while (held.sizeBytes() + rest.length > maxLineBytes) {
      const room = maxLineBytes - held.sizeBytes()
      onLine({ bytes: held.takeWith(rest.subarray(0, room)), eol: false, part, continued: true })
      part += 1
      rest = rest.subarray(room)
    }
    return rest
  }

  const finishLine = (rest: Uint8Array, eol: boolean): void => {
    const line = { bytes: held.takeWith(rest), eol, part, continued: false }
    part = 1
    onLine(line)
  }

  return {
    push(chunk) {
      let start = 0
      for (let newline = chunk.indexOf(NEWLINE); newline >= 0; newline = chunk.indexOf(NEWLINE, start)) {
        finishLine(cutParts(chunk.subarray(start, newline)), true)
        start = newline + 1
      }
      if (start < chunk.length) held.add(cutParts(chunk.subarray(start)))
    },
    end() {
      if (held.sizeBytes() > 0) finishLine(new Uint8Array(0), false)
    },
    open: () => ({ bytes: held.copy(), eol: false, part, continued: false }),
  }
}

type HeldBytes = {
  sizeBytes(): number
  add(bytes: Uint8Array): void
  copy(): Uint8Array
  /** Everything held, with these bytes at its end; nothing is held afterwards. */
  takeWith(rest: Uint8Array): Uint8Array
}

/**
 * The start of a line whose end has not arrived: one growing buffer, not a list of chunks. A list would cost a hundred
 * times the bytes when a job writes them one by one, and would keep whole 64 KiB chunks alive.
 */
const createHeldBytes = (maxBytes: number): HeldBytes => {
  let buffer = new Uint8Array(0)
  let sizeBytes = 0
  const add = (bytes: Uint8Array): void => {
    const needed = sizeBytes + bytes.length
    if (needed > buffer.length) {
      const grown = new Uint8Array(Math.min(maxBytes, Math.max(needed, buffer.length * 2, FIRST_CAPACITY_BYTES)))
      grown.set(buffer.subarray(0, sizeBytes))
      buffer = grown
    }
    buffer.set(bytes, sizeBytes)
    sizeBytes = needed
  }
  return {
    sizeBytes: () => sizeBytes,
    add,
    copy: () => buffer.slice(0, sizeBytes),
    takeWith(rest) {
      if (sizeBytes === 0) return rest
      add(rest)
      const givenAway = buffer.length > KEPT_CAPACITY_BYTES
      const whole = givenAway ? buffer.subarray(0, sizeBytes) : buffer.slice(0, sizeBytes)
      if (givenAway) buffer = new Uint8Array(0)
      sizeBytes = 0
      return whole
    },
  }
}

const lenientDecoder = new TextDecoder('utf-8', { ignoreBOM: true })
const strictDecoder = new TextDecoder('utf-8', { ignoreBOM: true, fatal: true })

/** Text of a line. `lossy` says that a bad byte became U+FFFD, so that only the bytes themselves are the truth. */
export const decodeUtf8 = (bytes: Uint8Array): { text: string; lossy: boolean } => {
  const text = lenientDecoder.decode(bytes)
  if (!text.includes('\uFFFD')) return { text, lossy: false }
  try {
    strictDecoder.decode(bytes)
    return { text, lossy: false }
  } catch {
    // The strict decoder throws exactly where the lenient one replaced a byte.
    return { text, lossy: true }
  }
}

export type TypedObject = { type: string; [key: string]: unknown }

const MAX_DEPTH = 200

/** The object on a line, if it is one with a string `type`. Python's bare NaN, Infinity and -Infinity become null. */
export const parseJsonLine = (text: string): TypedObject | undefined => {
  if (!startsLikeObject(text)) return undefined
  const value = parseOrUndefined(text) ?? parseOrUndefined(withoutBareNumbers(text))
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return undefined
  if (typeof (value as { type?: unknown }).type !== 'string') return undefined
  return isTooDeep(text) ? undefined : (value as TypedObject)
}

// Most log lines end here, without the price of an exception.
const startsLikeObject = (text: string): boolean => /^[ \t\r]*\{/.test(text)

const parseOrUndefined = (text: string): unknown => {
  try {
    return JSON.parse(text)
  } catch {
    // Not JSON: the line is a log line, which is no error.
    return undefined
  }
}

/** The index after the closing quote of the string that opens at `start`. A loop: a regular expression overflows. */
const skipString = (text: string, start: number): number => {
  for (let index = start + 1; index < text.length; index += 1) {
    const code = text.charCodeAt(index)
    if (code === 0x5c) index += 1
    else if (code === 0x22) return index + 1
  }
  return text.length
}

const BARE_NUMBERS = ['-Infinity', 'Infinity', 'NaN']

const withoutBareNumbers = (text: string): string => {
  if (!text.includes('NaN') && !text.includes('Infinity')) return text
  const kept: string[] = []
  let copied = 0
  for (let index = 0; index < text.length;) {
    const code = text.charCodeAt(index)
    if (code === 0x22) {
      index = skipString(text, index)
      continue
    }
    const word = BARE_NUMBERS.find((candidate) => code === candidate.charCodeAt(0) && text.startsWith(candidate, index))
    if (word === undefined) {
      index += 1
      continue
    }
    kept.push(text.slice(copied, index), 'null')
    index += word.length
    copied = index
  }
  kept.push(text.slice(copied))
  return kept.join('')
}

/** Read from the text, which must be valid JSON: walking the value would recurse as deep as the job nested it. */
const isTooDeep = (text: string): boolean => {
  // Each level costs an opening and a closing character.
  if (text.length <= 2 * MAX_DEPTH) return false
  let depth = 0
  for (let index = 0; index < text.length; index += 1) {
    const code = text.charCodeAt(index)
    if (code === 0x22) index = skipString(text, index) - 1
    else if (code === 0x7b || code === 0x5b) depth += 1
    else if (code === 0x7d || code === 0x5d) depth -= 1
    if (depth > MAX_DEPTH) return true
  }
  return false
}
