// Ends an agent's access at once: its nkey goes into the revocations of account AG, which are pushed to the server's
// resolver by the system user. The live account JWT is read, changed and written back, and read again: the server
// answers 200 to a push that it ignores, and two control planes may push at the same time.
//
// A JWT minted in a later second is admitted again, so the caller stops minting first.
//
// Of two account JWTs issued in the same second the server obeys the newer one at once, but may keep the other one on its
// disk: after a restart the second revocation was gone. So each is issued in a later second than the one before it.
import { decode, encodeAccount, type Account } from '@nats-io/jwt'
import type { NatsConnection } from '@nats-io/nats-core'
import { pause } from '../../shared/pause.ts'
import type { Log } from '../core/ports.ts'
import { keyOf, type BusIdentity } from './nats-identity.ts'

const TRIES = 8
const TIMEOUT_MS = 3_000
/** Agents' JWTs live for an hour at most: an older revocation has nothing left to refuse. */
const KEEP_SECONDS = 7 * 86_400

/** Never throws. One after the other: each is a read, a change and a write of the same account. */
export function createRevoker(
  dial: () => Promise<NatsConnection>,
  options: { readonly identity: BusIdentity; readonly log: Log },
): (nkey: string) => Promise<void> {
  let last: Promise<void> = Promise.resolve()
  const revoke = async (nkey: string): Promise<void> => {
    try {
      const system = await dial()
      try {
        await revokeUser(system, options.identity, nkey)
      } finally {
        await system.close()
      }
    } catch (error) {
      options.log.warn('An agent could not be revoked on NATS: its access ends with its JWT', {
        nkey,
        error: String(error),
      })
    }
  }
  return (nkey) => (last = last.then(() => revoke(nkey)))
}

async function revokeUser(system: NatsConnection, identity: BusIdentity, nkey: string): Promise<void> {
  const nowSeconds = Math.floor(Date.now() / 1000)
  for (let tries = 0; tries < TRIES; tries += 1) {
    const { account: live, issuedAtSeconds } = await liveAgents(system, identity)
    if ((live.revocations?.[nkey] ?? 0) >= nowSeconds) return
    const kept = Object.entries(live.revocations ?? {}).filter(([, at]) => at > nowSeconds - KEEP_SECONDS)
    const revocations = { ...Object.fromEntries(kept), [nkey]: nowSeconds }
    const { id } = identity.accounts.agents
    const operator = keyOf(identity.operator.seed)
    await pause(Math.max(0, (issuedAtSeconds + 1) * 1000 - Date.now()), new AbortController().signal)
    const jwt = await encodeAccount('AG', id, { ...live, revocations }, { signer: operator })
    await system.request('$SYS.REQ.CLAIMS.UPDATE', jwt, { timeout: TIMEOUT_MS })
    await pause(50 * tries, new AbortController().signal)
  }
  throw new Error(`NATS did not take the revocation of ${nkey}`)
}

interface LiveAccount {
  readonly account: Partial<Account>
  readonly issuedAtSeconds: number
}

async function liveAgents(system: NatsConnection, identity: BusIdentity): Promise<LiveAccount> {
  const { id } = identity.accounts.agents
  const answer = await system.request(`$SYS.REQ.ACCOUNT.${id}.CLAIMS.LOOKUP`, '', { timeout: TIMEOUT_MS })
  const claims = decode<Account>(answer.string())
  const operator = keyOf(identity.operator.seed).getPublicKey()
  if (claims.sub !== id || claims.iss !== operator)
    throw new Error('NATS holds a foreign JWT for the account of agents')
  return { account: claims.nats, issuedAtSeconds: claims.iat }
}
