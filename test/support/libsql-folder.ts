// A fresh database of ours behind a libSQL server, in a folder that goes with it.
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createClient } from '@libsql/client/http'
import { migrate } from '../../control-plane/store/migrate.ts'
import { startLibsqlServer, type LibsqlServer } from './libsql-server.ts'

export interface LibsqlFolder {
  readonly folder: string
  /** Of the database's file in it. */
  readonly path: string
  readonly server: LibsqlServer
  /** To be called after whoever uses the server: it stops, and the folder goes. */
  remove(this: void): Promise<void>
}

export async function openLibsqlFolder(): Promise<LibsqlFolder> {
  const folder = mkdtempSync(join(tmpdir(), 'dray-libsql-'))
  const path = join(folder, 'dray.db')
  const server = await startLibsqlServer(path)
  const client = createClient({ url: server.url })
  await migrate(client)
  client.close()
  return {
    folder,
    path,
    server,
    async remove() {
      await server.stop()
      rmSync(folder, { recursive: true, force: true })
    },
  }
}
