// Who is who on NATS: one operator, three accounts, and the user JWTs that agents connect with (PROTOCOL 5).
//
//   SYS  the server's own account; used only to push a revocation
//   CP   the control plane; owns JetStream and the stream UPDATES; its users may do everything in it
//   AG   agents; no JetStream. It reaches CP through one service import (upd.>) and one stream import (run.*), so a
//        reply subject that an agent makes up cannot reach JetStream's API or another agent's subjects
//
// An agent's JWT is signed by AG's scoped key: its permissions are a template in AG's own JWT, filled with the JWT's
// name. Whoever mints for a name like "*" gives away everything, so the name is checked here. The account keys
// themselves are thrown away after creation: the operator's signature is all that an account JWT needs.
import { encodeAccount, encodeOperator, encodeUser, newScopedSigner } from '@nats-io/jwt'
import { createAccount, createOperator, createUser, fromPublic, fromSeed, type KeyPair } from '@nats-io/nkeys'
import { isName } from '../../shared/ids.ts'
import { signJwt, type SigningKey } from './sign-jwt.ts'

export interface NatsIdentity {
  readonly version: 1
  readonly operator: Credentials
  readonly accounts: { readonly system: AccountJwt; readonly controlPlane: AccountJwt; readonly agents: AccountJwt }
  /** Signs agents' JWTs and nothing else. */
  readonly agentSigner: SigningKey
  readonly controlPlaneUser: Credentials
  readonly systemUser: Credentials
}

/** What a control plane needs of it while it runs: no account's whole JWT, so it fits into a platform's secret of 5 KB. */
export interface BusIdentity {
  readonly version: 1
  readonly operator: Pick<Credentials, 'seed'>
  readonly accounts: { readonly agents: Pick<AccountJwt, 'id'> }
  readonly agentSigner: SigningKey
  readonly controlPlaneUser: Credentials
  readonly systemUser: Credentials
}

export interface Credentials {
  readonly seed: string
  readonly jwt: string
}

export interface AccountJwt {
  readonly id: string
  readonly jwt: string
}

// An account JWT without its limits in full counts the missing ones as zero.
const NO_LIMITS = { subs: -1, data: -1, payload: -1, imports: -1, exports: -1, wildcards: true, conn: -1, leaf: 0 }
const JETSTREAM_LIMITS = { mem_storage: 0, disk_storage: -1, streams: -1, consumer: -1, max_ack_pending: -1 }
const AGENT_PAYLOAD_BYTES = 1 << 20
const AGENT_SUBSCRIPTIONS = 50

/** Fresh keys for everything. Whoever has the answer owns the system: one file, mode 0600. */
export async function createIdentity(): Promise<NatsIdentity> {
  const operator = createOperator()
  const [system, controlPlane, agents, agentSigner] = [
    createAccount(),
    createAccount(),
    createAccount(),
    createAccount(),
  ]
  const account = async (
    name: string,
    key: KeyPair,
    claims: Parameters<typeof encodeAccount>[2],
  ): Promise<AccountJwt> => ({
    id: key.getPublicKey(),
    jwt: await encodeAccount(name, key, claims, { signer: operator }),
  })
  const systemId = system.getPublicKey()
  return {
    version: 1,
    operator: { seed: seedOf(operator), jwt: await encodeOperator('dray', operator, { system_account: systemId }) },
    accounts: {
      system: await account('SYS', system, { limits: NO_LIMITS }),
      controlPlane: await account('CP', controlPlane, {
        limits: { ...NO_LIMITS, ...JETSTREAM_LIMITS },
        exports: [
          { name: 'upd', subject: 'upd.>', type: 'service' },
          { name: 'run', subject: 'run.*', type: 'stream' },
        ],
      }),
      agents: await account('AG', agents, agentsClaims(controlPlane.getPublicKey(), agentSigner)),
    },
    agentSigner: { id: agentSigner.getPublicKey(), seed: seedOf(agentSigner) },
    controlPlaneUser: await user('cp', controlPlane),
    systemUser: await user('sys', system),
  }
}

export function busIdentityOf(identity: BusIdentity): BusIdentity {
  const { version, operator, accounts, agentSigner, controlPlaneUser, systemUser } = identity
  return {
    version,
    operator: { seed: operator.seed },
    accounts: { agents: { id: accounts.agents.id } },
    agentSigner,
    controlPlaneUser,
    systemUser,
  }
}

/** Where it comes as a secret of the platform and not as a file; the whole identity will do as well. Never quotes it. */
export function parseBusIdentity(text: string): BusIdentity {
  const identity = JSON.parse(text) as BusIdentity
  const wanted = [
    identity.operator?.seed,
    identity.accounts?.agents?.id,
    identity.agentSigner?.seed,
    identity.controlPlaneUser?.jwt,
    identity.systemUser?.jwt,
  ]
  if (identity.version !== 1 || wanted.some((part) => typeof part !== 'string'))
    throw new Error('It is not a NATS identity of version 1')
  return busIdentityOf(identity)
}

/** A JWT for an agent's own nkey; only its owner, who has the seed, can use it. */
export async function mintAgentJwt(
  identity: BusIdentity,
  agent: string,
  nkey: string,
  ttlSeconds: number,
): Promise<string> {
  if (!isName(agent)) throw new Error(`Cannot mint a NATS JWT: ${JSON.stringify(agent)} is not a valid agent id`)
  if (!nkey.startsWith('U')) throw new Error('Cannot mint a NATS JWT: the key is not the public key of an nkey user')
  const subject = fromPublic(nkey).getPublicKey()
  const issuedAt = Math.floor(Date.now() / 1000)
  return await signJwt(identity.agentSigner, {
    aud: 'NATS',
    exp: issuedAt + Math.max(1, Math.floor(ttlSeconds)),
    iat: issuedAt,
    name: agent,
    sub: subject,
    // Without limits or permissions of its own, or the server refuses it: they come from the scoped key's template.
    nats: { type: 'user', version: 2, issuer_account: identity.accounts.agents.id },
  })
}

function agentsClaims(controlPlaneId: string, signer: KeyPair): Parameters<typeof encodeAccount>[2] {
  const template = {
    pub: { allow: ['upd.{{name()}}.>'] },
    sub: { allow: ['_INBOX.{{name()}}.>', 'run.{{name()}}'] },
    subs: AGENT_SUBSCRIPTIONS,
    payload: AGENT_PAYLOAD_BYTES,
    allowed_connection_types: ['STANDARD' as const, 'WEBSOCKET' as const],
  }
  return {
    limits: NO_LIMITS,
    imports: [
      { name: 'upd', subject: 'upd.>', account: controlPlaneId, type: 'service' },
      { name: 'run', subject: 'run.*', account: controlPlaneId, type: 'stream' },
    ],
    signing_keys: [newScopedSigner(signer.getPublicKey(), 'agent', template)],
  }
}

async function user(name: string, account: KeyPair): Promise<Credentials> {
  const key = createUser()
  return { seed: seedOf(key), jwt: await encodeUser(name, key.getPublicKey(), account, {}) }
}

function seedOf(key: KeyPair): string {
  return new TextDecoder().decode(key.getSeed())
}

export function keyOf(seed: string): KeyPair {
  return fromSeed(new TextEncoder().encode(seed))
}
