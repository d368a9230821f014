// Portable: Web APIs only.
//
// API keys and join tokens: 32 random bytes, shown once, kept as SHA-256.
import { AppError } from '../../shared/errors.ts'
import { newId, newSecret, sha256Hex } from '../../shared/ids.ts'
import type { NewToken } from './core.ts'
import type { CoreDeps } from './deps.ts'
import type { Role } from './ports.ts'

const expiry = (atMs: number | null): { expires_at?: string } =>
  atMs === null ? {} : { expires_at: new Date(atMs).toISOString() }

export interface NewKeyOptions {
  readonly tenant: string
  readonly role: Role
  readonly name: string | null
  readonly expiresAtMs: number | null
}

export async function createKey(core: Pick<CoreDeps, 'store' | 'clock'>, options: NewKeyOptions): Promise<NewToken> {
  const id = newId('key')
  const token = newSecret('dray')
  await core.store.createKey({ ...options, id, createdAtMs: core.clock.nowMs() }, await sha256Hex(token))
  return { id, token, ...expiry(options.expiresAtMs) }
}

export async function deleteKey(core: CoreDeps, id: string): Promise<void> {
  if (!(await core.store.deleteKey(id))) throw new AppError('not_found', `Key "${id}" does not exist.`)
}

export async function createJoinToken(
  core: CoreDeps,
  options: { pool: string | null; expiresAtMs: number | null },
): Promise<NewToken> {
  const id = newId('jtk')
  const token = newSecret('join')
  await core.store.createJoinToken({ ...options, id, createdAtMs: core.clock.nowMs() }, await sha256Hex(token))
  return { id, token, ...expiry(options.expiresAtMs) }
}
