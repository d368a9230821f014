// The control plane on each runtime, as a process of its own for a test: what to start, and what has to be there first.
// Node and Deno run the sources; workerd runs the bundle that `wrangler deploy` would send, with the settings that its
// bindings would hold, and calls nobody. There the database is a libSQL server and NATS a WebSocket.
import { createRequire } from 'node:module'
import { writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { NODE_PROCESS_ENV } from '../../deploy/process-env.ts'
import { busIdentityOf } from '../../control-plane/bus/nats-identity.ts'
import { prepareDatabase } from '../../control-plane/entry/prepare-database.ts'
import { bundleWorker } from '../../deploy/worker-bundle.ts'
import { workerdProgram } from '../../deploy/worker-startup.ts'
import { freePort } from '../../deploy/free-port.ts'
import { startLibsqlServer, type LibsqlServer } from './libsql-server.ts'
import { manageProcess, type ManagedProcess } from './managed-process.ts'
import type { TestNats } from './nats-server.ts'
import { workerdConfig } from './workerd-config.ts'

export const RUNTIMES = ['node', 'deno', 'workerd'] as const
export type Runtime = (typeof RUNTIMES)[number]

export interface PlaneOptions {
  readonly dir: string
  readonly port: number
  readonly token: string
  readonly nats: TestNats
  readonly env: Readonly<Record<string, string>>
  /** On workerd: nothing lasts from one request to the next (workerd-config.ts). */
  readonly isolatePerRequest?: boolean | undefined
  /** On workerd: a certificate (PEM) to trust. */
  readonly trusted?: string | undefined
}

export interface Plane {
  readonly process: ManagedProcess
  /** Where the database is one over HTTP. */
  readonly database: LibsqlServer | null
  /** Runs the cron trigger once, to its end; null where there is none. */
  readonly cron: (() => Promise<void>) | null
  close(): Promise<void>
}

const ROOT = join(import.meta.dirname, '..', '..')
const require = createRequire(import.meta.url)

export async function preparePlane(runtime: Runtime, options: PlaneOptions): Promise<Plane> {
  if (runtime === 'workerd') return prepareWorkerd(options)
  const identityFile = join(options.dir, 'identity.json')
  await writeFile(identityFile, JSON.stringify(options.nats.identity), { mode: 0o600 })
  const process = manageProcess({
    name: `control plane on ${runtime}`,
    ...(runtime === 'node' ? nodeCommand() : denoCommand()),
    env: {
      PATH: globalThis.process.env['PATH'] ?? '',
      ...NODE_PROCESS_ENV,
      DRAY_HOST: '127.0.0.1',
      DRAY_PORT: String(options.port),
      DRAY_STATE_DIR: options.dir,
      DRAY_DATABASE_URL: `file:${join(options.dir, 'dray.db')}`,
      DRAY_NATS_URLS: options.nats.url,
      DRAY_NATS_IDENTITY_FILE: identityFile,
      DRAY_ADMIN_TOKEN: options.token,
      ...COMMON,
      ...options.env,
    },
  })
  return { process, database: null, cron: null, close: async () => void (await process.stop()) }
}

// Below what the test's nats-server may store.
const COMMON = { DRAY_UPDATES_MAX_BYTES: '400m', DRAY_LOG_LEVEL: 'warn' }

function nodeCommand(): { command: string; args: string[] } {
  return { command: process.execPath, args: [join(ROOT, 'control-plane/entry/node.ts')] }
}

/** Not `.bin/deno`: a wrapper, which a signal ends without its child. */
function denoCommand(): { command: string; args: string[] } {
  const names: Readonly<Record<string, string>> = {
    linux: `linux-${process.arch}-glibc`,
    darwin: `darwin-${process.arch}`,
  }
  const folder = dirname(require.resolve(`@deno/${names[process.platform] ?? process.platform}/package.json`))
  const flags = ['--no-lock', '--node-modules-dir=manual', '--no-prompt']
  const allowed = ['--allow-net', '--allow-env', '--allow-read', '--allow-write', '--allow-ffi', '--allow-sys']
  return {
    command: join(folder, 'deno'),
    args: ['run', ...flags, ...allowed, join(ROOT, 'control-plane/entry/deno.ts')],
  }
}

async function prepareWorkerd(options: PlaneOptions): Promise<Plane> {
  const { dir, port, token, nats } = options
  const database = await startLibsqlServer(join(dir, 'dray.db'))
  await prepareDatabase({ databaseUrl: database.url, databaseToken: undefined, stateDir: dir, adminToken: token })
  await bundleWorker(dir)
  const cronPort = await freePort()
  const bindings = {
    DRAY_DATABASE_URL: database.url,
    DRAY_NATS_URLS: nats.websocketUrl,
    DRAY_NATS_AGENT_URLS: nats.url,
    DRAY_NATS_IDENTITY: JSON.stringify(busIdentityOf(nats.identity)),
    ...COMMON,
    ...options.env,
  }
  const file = join(dir, 'workerd.capnp')
  const { isolatePerRequest = false, trusted } = options
  const config = workerdConfig({ port, cronPort, bindings, isolatePerRequest, trusted })
  await writeFile(file, config, { mode: 0o600 })
  const process = manageProcess({
    name: 'control plane on workerd',
    command: workerdProgram(),
    args: ['serve', '--experimental', file],
    env: {},
  })
  return {
    process,
    database,
    cron: async () => void (await fetch(`http://127.0.0.1:${cronPort}/`)),
    async close() {
      await process.stop()
      await database.stop()
    },
  }
}
