// The control plane as one long-lived process with a disk (Node, Deno): libSQL, NATS, the core, the relay and an HTTP
// server, wired together. What differs between the two runtimes is a `Host`. NATS may be away at the start and at any
// time later; the database must answer once at the start.
import { readFile } from 'node:fs/promises'
import process from 'node:process'
import type { Dial } from '../bus/nats-dial.ts'
import { loadOrCreateIdentity } from '../bus/identity-file.ts'
import { createNatsBus } from '../bus/nats-bus.ts'
import type { Core } from '../core/core.ts'
import { createCore } from '../core/create-core.ts'
import type { Bus } from '../core/bus-port.ts'
import type { JobStore, Log } from '../core/ports.ts'
import type { Relay } from '../core/relay.ts'
import { createRelay } from '../core/relay-hub.ts'
import type { StreamLedger } from '../core/stream-ledger.ts'
import { createApp } from '../http/app.ts'
import type { App } from '../http/context.ts'
import type { Platform } from '../http/platform.ts'
import { createLibsqlStore } from '../store/libsql-store.ts'
import { ensureAdminKey, prepareStateDir } from './admin-key.ts'
import { ConfigError, loadControlPlaneConfig, type ControlPlaneConfig } from './control-plane-config.ts'
import { createLineLog } from './line-log.ts'
import { createTimerClock } from './timer-clock.ts'

export interface HostServer {
  readonly url: string
  /** Takes no new connections; resolves when the last request has been answered, at the latest after `graceMs`. */
  close(graceMs: number): Promise<void>
}

export interface ListenOptions {
  readonly app: App
  readonly host: string
  readonly port: number
  readonly tls: { readonly certFile: string; readonly keyFile: string } | undefined
}

/** What a runtime gives. */
export interface Host {
  readonly platform: Platform
  listen(options: ListenOptions): Promise<HostServer>
  /** Where it differs from nats.js's own for Node. */
  readonly dial?: Dial
}

export interface StartOptions {
  readonly log?: Log
  /** Called with the first admin key, where this start made one. */
  readonly onFirstAdminKey?: (token: string) => void
}

export interface ControlPlane {
  readonly url: string
  /** Answers what has begun, tells streams to come back, and ends. May be called again. */
  close(): Promise<void>
}

const TICK_MS = 1_000
/** Requests under way may take this long after SIGTERM; supervisors give 8 s and more. */
const CLOSE_GRACE_MS = 5_000

export async function startOnHost(
  runtime: Host,
  config: ControlPlaneConfig,
  options: StartOptions = {},
): Promise<ControlPlane> {
  const log = options.log ?? createLineLog(config.logLevel, (line) => process.stderr.write(line))
  const clock = createTimerClock()
  await using started = new AsyncDisposableStack()
  await prepareStateDir(config.stateDir)
  const store = started.adopt(await openStore(config, log), (it) => it.close())
  const token = await ensureAdminKey({ store, clock, stateDir: config.stateDir, adminToken: config.adminToken })
  if (token !== null) options.onFirstAdminKey?.(token)
  const bus = started.adopt(await openBus(runtime, config, store, log), (it) => it.close())
  const coreConfig = { ...config.core, natsCa: await readOptional(config.nats.caFile) }
  const core: Core = started.adopt(createCore({ store, bus, clock, log, config: coreConfig }), (it) => it.close())
  const relay: Relay = started.adopt(createRelay({ store, bus, clock, log }), (it) => it.close())
  const app = createApp({ core, relay, clock, log, platform: runtime.platform, maxima: config.maxima })
  const { host, port, tls } = config
  const server = await runtime.listen({ app, host, port, tls })
  const ticker = setInterval(() => core.tick(), TICK_MS)
  const parts = started.move()
  const end = async (): Promise<void> => {
    clearInterval(ticker)
    const served = server.close(CLOSE_GRACE_MS)
    // Streams would last as long as their jobs: the relay sends their clients elsewhere.
    await relay.close()
    await served
    await parts.disposeAsync()
  }
  let ended: Promise<void> | undefined
  return { url: server.url, close: () => (ended ??= end()) }
}

async function readOptional(path: string | undefined): Promise<string | undefined> {
  return path === undefined ? undefined : readFile(path, 'utf8')
}

function openStore({ databaseUrl, databaseToken }: ControlPlaneConfig, log: Log): Promise<JobStore & StreamLedger> {
  return createLibsqlStore({ url: databaseUrl, authToken: databaseToken, log })
}

async function openBus({ dial }: Host, { nats }: ControlPlaneConfig, ledger: StreamLedger, log: Log): Promise<Bus> {
  return createNatsBus({
    urls: nats.urls,
    agentUrls: nats.agentUrls,
    identity: await loadOrCreateIdentity(nats.identityFile),
    tls: nats.caFile === undefined ? undefined : { caFile: nats.caFile },
    ledger,
    stream: { maxBytes: nats.maxBytes, maxAgeSeconds: nats.maxAgeSeconds },
    log,
    dial,
  })
}

/** Until SIGTERM or SIGINT. One line {"url"} on stdout when it is ready. Resolves with the exit code. */
export async function runOnHost(
  runtime: Host,
  environment: Readonly<Record<string, string | undefined>>,
): Promise<number> {
  const stop = new Promise<void>((resolve) => {
    for (const signal of ['SIGTERM', 'SIGINT'] as const) process.once(signal, () => resolve())
  })
  try {
    const controlPlane = await startOnHost(runtime, loadControlPlaneConfig(environment))
    process.stdout.write(`${JSON.stringify({ url: controlPlane.url })}\n`)
    await stop
    await controlPlane.close()
    return 0
  } catch (error) {
    process.stderr.write(`The control plane cannot run: ${reasonOf(error)}\n`)
    return error instanceof ConfigError ? 2 : 1
  }
}

function reasonOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error)
  return error.cause instanceof Error ? `${error.message} (${error.cause.message})` : error.message
}
