// Portable: Web APIs only.
//
// JSON as the API accepts it: RFC 8259 without the freedoms that let two readers of one text see two values. Refused
// are duplicate keys, lone surrogates, numbers beyond a double, and nesting deeper than `maxDepth`. Values are those of
// JSON.parse, which also says what is no JSON at all; a linear scan before it finds the rest, so that a text of 16 MiB
// brackets costs neither stack nor memory.

export interface StrictJsonOptions {
  readonly maxDepth: number
}

/** Says what is wrong and where, in one sentence fit for a client. */
export class StrictJsonError extends Error {
  readonly line: number
  readonly column: number

  constructor(what: string, text: string, at: number) {
    const before = text.slice(0, at)
    const line = before.split('\n').length
    const column = at - before.lastIndexOf('\n')
    super(`${what} at line ${line}, column ${column}`)
    this.name = 'StrictJsonError'
    this.line = line
    this.column = column
  }
}

export function parseStrictJson(text: string, options: StrictJsonOptions): unknown {
  if (!text.isWellFormed()) throw new StrictJsonError('a lone surrogate stands', text, firstLoneSurrogate(text))
  scan(text, options.maxDepth)
  try {
    return JSON.parse(text) as unknown
  } catch (error) {
    throw new StrictJsonError('it is not JSON: the error is', text, syntaxErrorAt(error, text))
  }
}

const QUOTE = 0x22
const BACKSLASH = 0x5c
const OPEN_BRACE = 0x7b
const CLOSE_BRACE = 0x7d
const OPEN_BRACKET = 0x5b
const CLOSE_BRACKET = 0x5d
const COMMA = 0x2c
const LETTER_U = 0x75

/** An open object: the keys that it has so far, and whether the next string is a key. An open array: null. */
type Level = { readonly keys: Set<string>; expectsKey: boolean } | null

/**
 * Walks the tokens without checking the grammar: whatever is no JSON is left for JSON.parse to refuse, and a text that
 * is JSON is judged exactly.
 */
function scan(text: string, maxDepth: number): void {
  const levels: Level[] = []
  const nextEscape = createFinder(text, '\\')
  let at = 0
  while (at < text.length) {
    const code = text.charCodeAt(at)
    if (code === QUOTE) {
      at = scanString(text, at, nextEscape, levels.at(-1) ?? null)
      continue
    }
    if (isNumberStart(code)) {
      at = scanNumber(text, at)
      continue
    }
    if (code === OPEN_BRACE || code === OPEN_BRACKET) {
      if (levels.length === maxDepth) throw new StrictJsonError(`it is nested deeper than ${maxDepth}`, text, at)
      levels.push(code === OPEN_BRACE ? { keys: new Set(), expectsKey: true } : null)
    } else if (code === CLOSE_BRACE || code === CLOSE_BRACKET) levels.pop()
    else if (code === COMMA) expectKey(levels)
    at += 1
  }
}

function expectKey(levels: readonly Level[]): void {
  const level = levels.at(-1)
  if (level) level.expectsKey = true
}

/**
 * The first place of `char` at or after `from`, which only grows; beyond the text where there is none. A plain indexOf
 * for each string would read the rest of the text each time: minutes for 16 MiB of short strings.
 */
function createFinder(text: string, char: string): (from: number) => number {
  let found = -1
  return (from) => {
    if (found < from) found = text.indexOf(char, from)
    if (found === -1) found = text.length + 1
    return found
  }
}

/** Returns the place after the closing quote, or the end of the text where there is none. */
function scanString(text: string, start: number, nextEscape: (from: number) => number, level: Level): number {
  let end = text.indexOf('"', start + 1)
  const firstEscape = nextEscape(start + 1)
  const hasEscape = firstEscape < end
  if (hasEscape) end = endOfEscaped(text, firstEscape)
  if (end === -1) return text.length
  if (level?.expectsKey) {
    level.expectsKey = false
    addKey(level.keys, text, start, end, hasEscape)
  }
  return end + 1
}

/** Walks an escaped string from its first backslash to its closing quote; -1 where it has none. */
function endOfEscaped(text: string, firstEscape: number): number {
  let at = firstEscape
  while (at < text.length) {
    const code = text.charCodeAt(at)
    if (code === QUOTE) return at
    if (code !== BACKSLASH) at += 1
    else if (text.charCodeAt(at + 1) === LETTER_U) at = scanUnicodeEscape(text, at)
    else at += 2
  }
  return -1
}

/** An escape of half a pair needs the other half as an escape right behind it: the text itself is well-formed. */
function scanUnicodeEscape(text: string, at: number): number {
  const unit = hexUnit(text, at)
  if (unit >= 0xd800 && unit <= 0xdbff) {
    const next = hexUnit(text, at + 6)
    if (next >= 0xdc00 && next <= 0xdfff) return at + 12
  }
  if (unit >= 0xd800 && unit <= 0xdfff) throw new StrictJsonError('a lone surrogate stands', text, at)
  return at + 6
}

/** The code unit of the escape `\uXXXX` at this place, or -1 where there is none. */
function hexUnit(text: string, at: number): number {
  const escape = text.slice(at, at + 6)
  return /^\\u[0-9a-fA-F]{4}$/.test(escape) ? Number.parseInt(escape.slice(2), 16) : -1
}

function addKey(keys: Set<string>, text: string, start: number, end: number, hasEscape: boolean): void {
  const key = hasEscape ? unescape(text.slice(start, end + 1)) : text.slice(start + 1, end)
  if (keys.has(key)) throw new StrictJsonError(`the key ${JSON.stringify(shorten(key))} is given twice`, text, start)
  keys.add(key)
}

function unescape(quoted: string): string {
  try {
    return JSON.parse(quoted) as string
  } catch {
    // Not JSON: JSON.parse of the whole text says so better. Until then the raw text stands for the key.
    return quoted
  }
}

function shorten(key: string): string {
  return key.length > 64 ? `${key.slice(0, 64)}…` : key
}

function isNumberStart(code: number): boolean {
  return (code >= 0x30 && code <= 0x39) || code === 0x2d
}

/** JSON.parse turns 1e999 into Infinity, which JSON cannot say: it would come back as null. */
function scanNumber(text: string, start: number): number {
  let end = start + 1
  while (isNumberPart(text.charCodeAt(end))) end += 1
  // A double holds 309 digits; shorter ones without an exponent cannot be too large.
  const token = text.slice(start, end)
  if ((token.length > 308 || /[eE]/.test(token)) && Math.abs(Number(token)) === Infinity)
    throw new StrictJsonError('a number is too large for a double', text, start)
  return end
}

/** Digits, signs, the point and e or E. */
function isNumberPart(code: number): boolean {
  return isNumberStart(code) || code === 0x2b || code === 0x2e || code === 0x65 || code === 0x45
}

function firstLoneSurrogate(text: string): number {
  const at = text.search(/[\ud800-\udbff](?![\udc00-\udfff])|(?<![\ud800-\udbff])[\udc00-\udfff]/)
  return Math.max(0, at)
}

/** Engines say the place in words of their own, or not at all: then it is the end. */
function syntaxErrorAt(error: unknown, text: string): number {
  const position = /position (\d+)/.exec(error instanceof Error ? error.message : '')?.[1]
  return position === undefined ? text.length : Number(position)
}
