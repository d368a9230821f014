// A folder with a database file and what a test makes of it: stores in this process, a holder in another one (a closed
// connection of libSQL keeps its locks until it is collected, so "nobody has it open" needs a process that has ended).
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import type { JobStore } from '../../control-plane/core/ports.ts'
import type { StreamLedger } from '../../control-plane/core/stream-ledger.ts'
import { createLibsqlStore } from '../../control-plane/store/libsql-store.ts'
import { eventually } from './eventually.ts'
import { manageProcess, type ManagedProcess } from './managed-process.ts'

const STORE = path.join(import.meta.dirname, '..', '..', 'control-plane/store/libsql-store.ts')
const log = { info: () => undefined, warn: () => undefined, error: () => undefined }

export interface DatabaseFolder {
  readonly dir: string
  inside(name: string): string
  urlOf(name: string): string
  open(name: string): Promise<JobStore & StreamLedger>
  /** A process that has the database open, as a control plane has. */
  hold(name: string): Promise<ManagedProcess>
  remove(): Promise<void>
}

export async function makeDatabaseFolder(): Promise<DatabaseFolder> {
  const dir = await mkdtemp(path.join(tmpdir(), 'dray-database-'))
  const inside = (name: string): string => path.join(dir, name)
  const urlOf = (name: string): string => `file:${inside(name)}`
  return {
    dir,
    inside,
    urlOf,
    open: (name) => createLibsqlStore({ url: urlOf(name), log }),
    async hold(name) {
      const program = inside('hold.mjs')
      const lines = [
        `import { createLibsqlStore } from ${JSON.stringify(STORE)}`,
        `const say = () => console.log('open')`,
        `const store = await createLibsqlStore({ url: ${JSON.stringify(urlOf(name))}, log: { info: say, warn: say, error: say } })`,
        `setInterval(() => void store.ping(), 50)`,
      ]
      await writeFile(program, lines.join('\n'))
      const holder = manageProcess({ name: 'holder', command: process.execPath, args: [program], env: {} })
      holder.start()
      await eventually(() => holder.output().includes('open'), { what: 'another process has the database open' })
      return holder
    },
    remove: () => rm(dir, { recursive: true, force: true }),
  }
}
