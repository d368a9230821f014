// Portable: Web APIs only.
//
// Who calls, and whether the role allows it. One database read a request, so a key that was deleted is dead at once.
// Unknown, expired and malformed keys get the same answer: nobody learns which keys exist.
import { AppError } from '../../shared/errors.ts'
import type { Core } from '../core/core.ts'
import type { Principal } from './context.ts'

/** client: admin and tenant keys. agent: the key that a machine got when it joined. */
export type Access = 'public' | 'client' | 'admin' | 'agent'

/** Keys are 50 characters; what is far longer is not hashed. */
const MAX_KEY_LENGTH = 256
const BEARER = /^Bearer +([A-Za-z0-9._~+/=-]+)$/i

/** The key of an Authorization header, or null where there is none that could be one. */
export function bearerKey(authorization: string | null | undefined): string | null {
  const key = BEARER.exec(authorization?.trim() ?? '')?.[1]
  return key !== undefined && key.length <= MAX_KEY_LENGTH ? key : null
}

/** The Authorization header, or for browsers' sockets, which cannot set it, the subprotocol `bearer.<token>`. */
export function offeredKey(headers: Headers): string | null {
  const fromHeader = bearerKey(headers.get('authorization'))
  if (fromHeader !== null) return fromHeader
  const protocols = (headers.get('sec-websocket-protocol') ?? '').split(',').map((protocol) => protocol.trim())
  const bearer = protocols.find((protocol) => protocol.startsWith('bearer.'))
  return bearer === undefined ? null : bearerKey(`Bearer ${bearer.slice('bearer.'.length)}`)
}

export async function authenticate(core: Core, key: string | null): Promise<Principal> {
  const principal = key === null ? null : await lookUp(core, key)
  if (principal) return principal
  throw new AppError('unauthenticated', 'The request has no valid key.')
}

/** Keys name their kind in their first letters (shared/ids.ts), so one read is enough. */
async function lookUp(core: Core, key: string): Promise<Principal | null> {
  if (key.startsWith('agent_')) {
    const agent = await core.authenticateAgent(key)
    return agent && { kind: 'agent', agent }
  }
  const record = await core.authenticateKey(key)
  return record && { kind: 'key', key: record }
}

export function authorize(principal: Principal, access: Access): void {
  const held = principal.kind === 'agent' ? 'agent' : principal.key.role
  const isAllowed = access === held || (access === 'client' && held !== 'agent')
  if (!isAllowed) throw new AppError('forbidden', `This call needs ${NEEDS[access]}, but the key is of role "${held}".`)
}

const NEEDS = {
  public: 'no key',
  client: 'a key of role "tenant" or "admin"',
  admin: 'a key of role "admin"',
  agent: 'the key of an agent',
} as const satisfies Record<Access, string>
