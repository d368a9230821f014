// Portable: Web APIs only.
//
// (attempt, n) is the position of everything a job said; `seq = attempt * 2^32 + n` is the same as one safe integer:
// the client's cursor, the order, the de-duplication, the fence, the gap and the place of the terminal update.

const ATTEMPT_UNIT = 2 ** 32

/** The last n of an attempt. Nothing but the terminal update has it. */
export const LAST_N = ATTEMPT_UNIT - 1

/** Attempts beyond this would leave the safe integers. */
export const MAX_ATTEMPT = 2 ** 21 - 1

export function seqOf(attempt: number, n: number): number {
  return attempt * ATTEMPT_UNIT + n
}

export function attemptOf(seq: number): number {
  return Math.floor(seq / ATTEMPT_UNIT)
}

export function nOf(seq: number): number {
  return seq % ATTEMPT_UNIT
}

/** The terminal update's seq: the end of the last attempt; attempt 0 where none began. */
export function terminalSeq(lastAttempt: number): number {
  return seqOf(lastAttempt, LAST_N)
}

/** A cursor as a client gives it: a decimal safe integer >= 0. Undefined where it is none. */
export function parseCursor(text: string): number | undefined {
  if (!/^(0|[1-9]\d{0,15})$/.test(text)) return undefined
  const value = Number(text)
  return Number.isSafeInteger(value) ? value : undefined
}
