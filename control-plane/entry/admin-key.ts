// The first key. An operator may choose it (DRAY_ADMIN_TOKEN); otherwise an empty database gets one, which is written to
// a file before it becomes valid: a crash in between leaves a file that the next start replaces, never a key that nobody
// knows.
import { mkdir, rename, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { newId, newSecret, sha256Hex } from '../../shared/ids.ts'
import type { Clock, JobStore } from '../core/ports.ts'

export interface AdminKeyOptions {
  readonly store: JobStore
  readonly clock: Clock
  readonly stateDir: string
  readonly adminToken: string | undefined
}

export const ADMIN_TOKEN_FILE = 'admin.token'
const TENANT = 'default'

/** The token that this start made, or null where there was a key already. */
export async function ensureAdminKey({ store, clock, stateDir, adminToken }: AdminKeyOptions): Promise<string | null> {
  const add = async (token: string): Promise<void> =>
    store.createKey(
      { id: newId('key'), tenant: TENANT, role: 'admin', name: 'first', createdAtMs: clock.nowMs(), expiresAtMs: null },
      await sha256Hex(token),
    )
  if (adminToken !== undefined) {
    if (!(await store.keyByHash(await sha256Hex(adminToken)))) await add(adminToken)
    return null
  }
  if (await store.hasKeys()) return null
  const token = newSecret('dray')
  await writeSecret(join(stateDir, ADMIN_TOKEN_FILE), `${token}\n`)
  await add(token)
  return token
}

/** Whole or not at all, and never readable by others, not even for a moment. */
async function writeSecret(path: string, text: string): Promise<void> {
  const draft = `${path}.${newId('key')}`
  await writeFile(draft, text, { mode: 0o600, flag: 'wx' })
  await rename(draft, path)
}

export async function prepareStateDir(stateDir: string): Promise<void> {
  await mkdir(stateDir, { recursive: true, mode: 0o700 })
}
