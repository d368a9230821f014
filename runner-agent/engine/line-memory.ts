// Remembers what the latest pieces of a stream looked like, so that the log can be held against them.
//
// An engine that is killed takes with it what it had read from the container but not yet written to its log, some of
// which the attached socket had delivered. The log is then shorter than what was handed out, and a position counted on
// the socket would skip lines that nobody has seen. The first piece of the log that differs shows the place. Fingerprints
// may be equal by chance or because lines are equal: then a piece is skipped, never repeated.

export type LineMemory = {
  note: (count: number, bytes: Uint8Array) => void
  /** True when piece number `count` is remembered and was another one. */
  differs: (count: number, bytes: Uint8Array) => boolean
}

// The engine's memory of a stream is about a megabyte at most; lines of 64 bytes and more are covered in full.
const REMEMBERED_PIECES = 16_384
// Most streams are short, many say nothing at all: the ring is as large as what was noted, in doublings.
const FIRST_PIECES = 16
const SAMPLED_BYTES = 16

export const createLineMemory = (): LineMemory => {
  let ring = new Int32Array(FIRST_PIECES)
  let first: number | undefined
  let last = 0
  return {
    note(count, bytes) {
      first ??= count
      last = count
      const place = (count - first) % REMEMBERED_PIECES
      if (place >= ring.length) ring = grown(ring, place)
      ring[place] = fingerprint(bytes)
    },
    differs(count, bytes) {
      if (first === undefined || count < first || count > last || count <= last - REMEMBERED_PIECES) return false
      return ring[(count - first) % REMEMBERED_PIECES] !== fingerprint(bytes)
    },
  }
}

/** The same ring with room for `place`; its size stays a power of two. */
const grown = (ring: Int32Array<ArrayBuffer>, place: number): Int32Array<ArrayBuffer> => {
  let length = ring.length
  while (length <= place) length *= 2
  const larger = new Int32Array(length)
  larger.set(ring)
  return larger
}

/** Of the length and some bytes in even steps, the last one included: a glance at each line is all that is paid for. */
const fingerprint = (bytes: Uint8Array): number => {
  const step = Math.max(1, Math.floor(bytes.length / SAMPLED_BYTES))
  let hash = bytes.length
  for (let at = bytes.length - 1; at >= 0; at -= step) hash = Math.imul(hash ^ (bytes[at] ?? 0), 0x01000193)
  return hash | 0
}
