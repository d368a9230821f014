// `dray nats config DIR`: everything that a nats-server of your own needs to serve Dray, in one folder: nats.conf (operator,
// accounts, resolver, JetStream that syncs, TLS, a WebSocket listener) and the identity that the control plane reads. Run
// again it keeps the identity: every agent hangs on it. Nothing is started.

import { chmod, mkdir, writeFile } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import { Command, InvalidArgumentError } from 'commander'
import { parseSize } from '../shared/sizes.ts'
import { say, UsageError, type Cli } from './terminal/cli.ts'

interface ConfigOptions {
  readonly host: string
  readonly port: number
  readonly websocketPort?: number
  readonly monitorPort?: number
  readonly data?: string
  readonly maxStore: number
  readonly tlsCert?: string
  readonly tlsKey?: string
  readonly plain?: boolean
}

export function command(cli: Cli): Command {
  const nats = new Command('nats')
  nats
    .command('config')
    .summary('write nats.conf and the identity of a nats-server')
    .argument('<dir>', 'where to write; mode 0700')
    .option('--host <address>', 'where the server listens', '127.0.0.1')
    .option('--port <n>', 'for control planes and agents', parsePort, 4222)
    .option('--websocket-port <n>', 'for control planes on workerd; none unless given', parsePort)
    .option('--monitor-port <n>', 'on 127.0.0.1 only; none unless given', parsePort)
    .option('--data <dir>', "where the server keeps what it stores (the folder's data)")
    .option('--max-store <size>', 'how much that may be; DRAY_UPDATES_MAX_BYTES must be less', parseBytes, 4 * 2 ** 30)
    .option('--tls-cert <file>', 'certificate chain (PEM)')
    .option('--tls-key <file>', 'its private key (PEM)')
    .option('--plain', 'without TLS although other machines can reach it: only behind a proxy or in a private network')
    .action((dir: string, options: ConfigOptions) => config(cli, resolve(dir), options))
  return nats
}

async function config(cli: Cli, dir: string, options: ConfigOptions): Promise<void> {
  const { host, port, websocketPort, monitorPort, maxStore } = options
  const tls = tlsOf(options)
  const isLocal = ['127.0.0.1', '::1', 'localhost'].includes(host)
  if (!tls && !isLocal && !options.plain)
    throw new UsageError(`"${host}" can be reached from other machines: give --tls-cert and --tls-key, or --plain`)
  const [{ loadOrCreateIdentity }, { natsServerConfig }, { busIdentityOf }] = await Promise.all([
    import('../control-plane/bus/identity-file.ts'),
    import('../control-plane/bus/server-config.ts'),
    import('../control-plane/bus/nats-identity.ts'),
  ])
  await mkdir(dir, { recursive: true, mode: 0o700 })
  const identity = await loadOrCreateIdentity(join(dir, 'identity.json'))
  const data = options.data ?? join(dir, 'data')
  const text = natsServerConfig({
    identity,
    host,
    port,
    storeDir: join(data, 'store'),
    resolverDir: join(data, 'accounts'),
    maxStoreBytes: maxStore,
    tls,
    monitorPort,
    ...(websocketPort === undefined ? {} : { websocket: { port: websocketPort, host } }),
  })
  await writeFile(join(dir, 'nats.conf'), text)
  await writeSecret(join(dir, 'worker-identity.json'), JSON.stringify(busIdentityOf(identity)))
  await say(cli, `wrote ${join(dir, 'nats.conf')}: start "nats-server --config" with it`)
  await say(cli, `wrote ${join(dir, 'identity.json')}: for DRAY_NATS_IDENTITY_FILE; whoever has it owns the system`)
  await say(cli, `wrote ${join(dir, 'worker-identity.json')}: for "wrangler secret put DRAY_NATS_IDENTITY"`)
}

async function writeSecret(path: string, text: string): Promise<void> {
  await writeFile(path, text, { mode: 0o600 })
  // One that was there keeps its mode otherwise.
  await chmod(path, 0o600)
}

function tlsOf({ tlsCert, tlsKey }: ConfigOptions): { certFile: string; keyFile: string } | undefined {
  if (tlsCert !== undefined && tlsKey !== undefined) return { certFile: resolve(tlsCert), keyFile: resolve(tlsKey) }
  if (tlsCert === undefined && tlsKey === undefined) return undefined
  throw new UsageError('--tls-cert and --tls-key belong together')
}

function parsePort(text: string): number {
  const port = Number(text)
  if (Number.isInteger(port) && port > 0 && port < 65_536) return port
  throw new InvalidArgumentError('It must be a port: 1 to 65535.')
}

function parseBytes(text: string): number {
  const bytes = parseSize(text)
  if (bytes !== undefined && bytes !== null && bytes >= 2 ** 20) return bytes
  throw new InvalidArgumentError('It must be a size such as "4g", at least "1m".')
}
