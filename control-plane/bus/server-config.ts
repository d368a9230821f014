// The text of a nats.conf for the identity: operator mode, accounts in a full resolver (a revocation outlives a restart
// there, with MEMORY it does not), JetStream that syncs each write before it acknowledges (the server's own default
// loses the last two minutes at a power cut). Pure; the caller writes the file, mode 0600 is not needed: no seeds.
//
// Run as written here: plain TCP and TLS (server certificate, client with our CA file) with nats-server 2.15.1.
import type { NatsIdentity } from './nats-identity.ts'

export interface ServerTls {
  readonly certFile: string
  readonly keyFile: string
  /** With `verifyClients`: who signs the certificates that clients must show. */
  readonly caFile?: string | undefined
  readonly verifyClients?: boolean | undefined
}

export interface ServerConfigOptions {
  readonly identity: NatsIdentity
  readonly port: number
  /** 127.0.0.1: agents on other machines need another one, and then TLS. */
  readonly host?: string | undefined
  readonly storeDir: string
  /** Account JWTs that were pushed, revocations among them. Beside the store, not in it: a wiped store keeps them. */
  readonly resolverDir: string
  /** More than the stream's maxBytes: the server needs room to write before it drops the oldest. */
  readonly maxStoreBytes: number
  readonly tls?: ServerTls | undefined
  /** For agents that reach only HTTPS ports, Deno and workerd. Without TLS of its own it takes the server's, or none. */
  readonly websocket?: { readonly port: number; readonly host?: string | undefined } | undefined
  /** Off by default. Loopback only: it shows what no tenant may know. */
  readonly monitorPort?: number | undefined
  readonly pidFile?: string | undefined
}

const MAX_RESOLVED_ACCOUNTS = 1000

export function natsServerConfig(options: ServerConfigOptions): string {
  const { identity, host = '127.0.0.1', tls, websocket } = options
  const { system, controlPlane, agents } = identity.accounts
  return [
    'server_name: dray',
    `listen: ${text(`${host}:${options.port}`)}`,
    ...(options.pidFile === undefined ? [] : [`pid_file: ${text(options.pidFile)}`]),
    ...(options.monitorPort === undefined ? [] : [`http: "127.0.0.1:${options.monitorPort}"`]),
    // A client that is gone without a word is noticed in 30 s; one that does not read is cut off.
    'ping_interval: "10s"',
    'ping_max: 2',
    'write_deadline: "10s"',
    'max_payload: 1MB',
    'max_connections: 64K',
    ...(tls ? [tlsBlock(tls)] : []),
    `operator: ${identity.operator.jwt}`,
    `system_account: ${system.id}`,
    'resolver {',
    '  type: full',
    `  dir: ${text(options.resolverDir)}`,
    '  allow_delete: true',
    '  interval: "2m"',
    `  limit: ${MAX_RESOLVED_ACCOUNTS}`,
    '}',
    'resolver_preload {',
    ...[system, controlPlane, agents].map(({ id, jwt }) => `  ${id}: ${jwt}`),
    '}',
    'jetstream {',
    `  store_dir: ${text(options.storeDir)}`,
    '  sync_interval: always',
    '  max_memory_store: 64MB',
    `  max_file_store: ${options.maxStoreBytes}`,
    '}',
    ...(websocket ? [websocketBlock(websocket, tls)] : []),
    '',
  ].join('\n')
}

function tlsBlock(tls: ServerTls): string {
  return [
    'tls {',
    `  cert_file: ${text(tls.certFile)}`,
    `  key_file: ${text(tls.keyFile)}`,
    ...(tls.caFile === undefined ? [] : [`  ca_file: ${text(tls.caFile)}`]),
    ...(tls.verifyClients ? ['  verify: true'] : []),
    '  timeout: 5',
    '}',
  ].join('\n')
}

function websocketBlock(
  { port, host = '127.0.0.1' }: { port: number; host?: string | undefined },
  tls: ServerTls | undefined,
): string {
  return [
    'websocket {',
    `  listen: ${text(`${host}:${port}`)}`,
    tls ? tlsBlock(tls) : '  no_tls: true',
    // Three advisories of 2026 name this listener before authentication: be short with strangers.
    '  handshake_timeout: "3s"',
    '  compression: false',
    '}',
  ].join('\n')
}

/** Double-quoted, as nats.conf reads it. */
function text(value: string): string {
  for (const letter of value) if (letter < ' ') throw new Error(`Cannot configure NATS with ${JSON.stringify(value)}`)
  return `"${value.replaceAll('\\', '\\\\').replaceAll('"', '\\"')}"`
}
