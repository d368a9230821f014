// How the control plane dials NATS: as a user of account CP, or for a moment as the system user. Over TCP unless the
// entry brings another way (workerd has only `wsconnect` of nats-core; on Deno TCP, too, because its WebSocket stalls).
import { jetstreamManager, type JetStreamManager } from '@nats-io/jetstream'
import { jwtAuthenticator, type ConnectionOptions, type NatsConnection, type TlsOptions } from '@nats-io/nats-core'
import { NEVER_GIVE_UP, redialPace } from '../../shared/link.ts'
import type { Credentials } from './nats-identity.ts'

export type Dial = (options: ConnectionOptions) => Promise<NatsConnection>

/** For `tls://` urls: `ca` (PEM text) or `caFile` where the certificate is not signed by a public authority. */
export type NatsTls = Pick<TlsOptions, 'ca' | 'caFile' | 'cert' | 'certFile' | 'key' | 'keyFile'>

export interface DialOptions {
  readonly urls: readonly string[]
  readonly credentials: Credentials
  readonly name: string
  readonly tls?: NatsTls | undefined
  readonly dial?: Dial | undefined
  /** False: one connection's life, for a short errand. */
  readonly reconnect?: boolean | undefined
}

export async function dialNats(options: DialOptions): Promise<NatsConnection> {
  const { credentials, tls } = options
  const dial = options.dial ?? (await import('@nats-io/transport-node')).connect
  return await dial({
    ...NEVER_GIVE_UP,
    ...redialPace(),
    servers: [...options.urls],
    name: options.name,
    reconnect: options.reconnect ?? true,
    authenticator: jwtAuthenticator(credentials.jwt, new TextEncoder().encode(credentials.seed)),
    // nats.js lets an option that is undefined override its default.
    ...(tls ? { tls } : {}),
  })
}

const API_TIMEOUT_MS = 3_000

/** Asks the server nothing: that JetStream is there shows with the first call. */
export function openManager(connection: NatsConnection): Promise<JetStreamManager> {
  return jetstreamManager(connection, { checkAPI: false, timeout: API_TIMEOUT_MS })
}
