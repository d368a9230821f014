// With leases of a minute and JWTs of an hour, 200 beats from one JWT to the next were longer than its life: agents lost
// NATS for minutes.
import { expect, test } from 'vitest'
import { beatsPerJwt } from '../../control-plane/core/jwt-pace.ts'

test.each([
  ['the defaults', 6, 3_600, 200],
  ['a lease for a host that is billed per request', 60, 3_600, 45],
  ['the shortest JWT', 6, 60, 7],
  ['a beat that is rarer than that', 3_600, 3_600, 1],
])('a JWT is renewed several times in its life, at most each beat: %s', (_, leaseSeconds, natsJwtSeconds, beats) => {
  expect(beatsPerJwt({ leaseMs: leaseSeconds * 1_000, natsJwtSeconds })).toBe(beats)
})
