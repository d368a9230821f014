// Makes a database ready for control planes that do not do it themselves: those on workerd, and several on one libSQL
// server. Brings it to the schema of this version and sees to a first admin key. Harmless when repeated.
import { join } from 'node:path'
import { createLibsqlStore, migrateDatabase } from '../store/libsql-store.ts'
import { ADMIN_TOKEN_FILE, ensureAdminKey, prepareStateDir } from './admin-key.ts'
import type { ControlPlaneConfig } from './control-plane-config.ts'
import { createTimerClock } from './timer-clock.ts'

export interface PreparedDatabase {
  /** Names of the migrations that were applied now. */
  readonly applied: readonly string[]
  /** Where the first admin key was written, if one had to be made. */
  readonly keyFile: string | null
}

const silent = { info: () => undefined, warn: () => undefined, error: () => undefined }

export async function prepareDatabase(
  config: Pick<ControlPlaneConfig, 'databaseUrl' | 'databaseToken' | 'stateDir' | 'adminToken'>,
): Promise<PreparedDatabase> {
  const { databaseUrl: url, databaseToken: authToken, stateDir, adminToken } = config
  const access = { url, ...(authToken === undefined ? {} : { authToken }) }
  // A file lies in the state folder unless told otherwise.
  await prepareStateDir(stateDir)
  const applied = await migrateDatabase(access)
  const store = await createLibsqlStore({ ...access, log: silent })
  try {
    const made = await ensureAdminKey({ store, clock: createTimerClock(), stateDir, adminToken })
    return { applied, keyFile: made === null ? null : join(stateDir, ADMIN_TOKEN_FILE) }
  } finally {
    await store.close()
  }
}
