// Portable: Web APIs only.
//
// Who calls, and whether the role allows it. One database read a request, so a key that was deleted is dead at once; calls
// of agents read more than the key with it, or leave it to the batch of their work.
// Unknown, expired and malformed keys get the same answer: nobody learns which keys exist.
import { AppError } from '../../shared/errors.ts'
import { sha256Hex } from '../../shared/ids.ts'
import type { Core } from '../core/core.ts'
import type { JobKey } from '../core/ports.ts'
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

/** `job`: what the call of an agent is about, to be read along. */
export async function authenticate(core: Core, key: string | null, job?: JobKey): Promise<Principal> {
  const principal = key === null ? null : await lookUp(core, key, job)
  if (principal) return principal
  throw new AppError('unauthenticated', 'The request has no valid key.')
}

/** Keys name their kind in their first letters (shared/ids.ts), so one read is enough. */
async function lookUp(core: Core, key: string, job: JobKey | undefined): Promise<Principal | null> {
  if (isAgentKey(key)) {
    const caller = await core.authenticateAgent(key, job)
    return caller && { kind: 'agent', ...caller }
  }
  const record = await core.authenticateKey(key)
  return record && { kind: 'key', key: record }
}

function isAgentKey(key: string): boolean {
  return key.startsWith('agent_')
}

/** For a call that checks an agent's key itself; null where the key is of another kind. */
export async function unreadAgent(key: string | null): Promise<Principal | null> {
  return key !== null && isAgentKey(key) ? { kind: 'unread_agent', keyHash: await sha256Hex(key) } : null
}

export function authorize(principal: Principal, access: Access): void {
  const held = principal.kind === 'key' ? principal.key.role : 'agent'
  const isAllowed = access === held || (access === 'client' && held !== 'agent')
  if (!isAllowed) throw new AppError('forbidden', `This call needs ${NEEDS[access]}, but the key is of role "${held}".`)
}

const NEEDS = {
  public: 'no key',
  client: 'a key of role "tenant" or "admin"',
  admin: 'a key of role "admin"',
  agent: 'the key of an agent',
} as const satisfies Record<Access, string>
