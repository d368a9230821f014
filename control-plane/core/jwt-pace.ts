// Portable: Web APIs only.
//
// Which beats bring a new JWT for NATS: the first one of a process, and then every so many. Pure.

/** A signature costs little, but not nothing. */
const MOST_BEATS = 200
/** In the life of each JWT: an answer or two may get lost. */
const RENEWALS = 4

/** How many beats, each a third of a lease after the last, lie between two JWTs. */
export function beatsPerJwt({ leaseMs, natsJwtSeconds }: { leaseMs: number; natsJwtSeconds: number }): number {
  const beats = Math.floor((natsJwtSeconds * 1000) / RENEWALS / (leaseMs / 3))
  return Math.min(MOST_BEATS, Math.max(1, beats))
}
