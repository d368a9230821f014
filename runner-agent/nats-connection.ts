// The agent's connection to NATS: as the agent's own nkey with the newest JWT, for ever. It takes run commands, and asks
// requests for publishers (PROTOCOL 5). A request ends at once when the connection does, instead of waiting out its
// time: its fate is then unknown and its owner finds out.
//
// The server closes a connection when its JWT expires. So that nothing is in flight then, the connection is renewed
// before it: new requests wait, those in flight are waited for, and the socket is opened anew with the newest JWT.
import { headers, jwtAuthenticator, type ConnectionOptions, type NatsConnection } from '@nats-io/nats-core'
import { runCommandSchema, type RunCommand } from '../shared/agent-protocol.ts'
import { createLink, NEVER_GIVE_UP, redialPace } from '../shared/link.ts'
import { agentInboxPrefix, runSubject } from '../shared/subjects.ts'
import { createJwtRenewal } from './jwt-renewal.ts'

export interface AgentConnectionOptions {
  readonly agent: string
  readonly urls: readonly string[]
  /** Of the agent's nkey. */
  readonly seed: string
  readonly jwt: string
  /** For `tls://` urls whose certificate no public authority signed: PEM text. */
  readonly tls?: { readonly ca?: string | undefined } | undefined
  readonly onRun: (command: RunCommand) => void
  /** At each connect and reconnect: commands may have been lost before it. */
  readonly onUp?: (() => void) | undefined
  /** Something that an operator may want to read: refused JWT, permission errors. */
  readonly onError: (error: unknown) => void
  readonly dial?: ((options: ConnectionOptions) => Promise<NatsConnection>) | undefined
}

export interface AgentConnection {
  /** From a heartbeat's answer. The connection is renewed with it before the one in use expires. */
  setJwt(jwt: string): void
  /** Waits for a connection, then asks once. Rejects when the answer cannot come any more: the fate is unknown. */
  request(
    subject: string,
    body: Uint8Array,
    head: Readonly<Record<string, string>>,
    signal: AbortSignal,
  ): Promise<string>
  /** Null while connected, else what is wrong. */
  problem(): string | null
  close(): Promise<void>
}

const REQUEST_TIMEOUT_MS = 2_000

export function createAgentConnection(options: AgentConnectionOptions): AgentConnection {
  let jwt = options.jwt
  const inFlight = new Set<(error: Error) => void>()
  const renewal = createJwtRenewal({
    reconnect: () => void link.current()?.reconnect(),
    inFlight: () => inFlight.size,
    up: (signal) => link.ready(signal),
  })
  const link = createLink({
    dial: () =>
      dialAgent(options, () => {
        renewal.dialled(jwt)
        return jwt
      }),
    onError: options.onError,
  })
  let subscribed: NatsConnection | null = null
  link.watch({
    up() {
      const connection = link.current()
      // nats.js repeats the subscription of a connection that came back.
      if (connection && connection !== subscribed) {
        subscribed = connection
        subscribeRun(connection, options)
      }
      options.onUp?.()
    },
    down() {
      for (const fail of inFlight) fail(new Error('NATS disconnected'))
    },
  })
  return {
    setJwt(next) {
      jwt = next
      renewal.renewed(next)
    },
    async request(subject, body, head, signal) {
      await renewal.gate(signal)
      const connection = await link.ready(signal)
      return await ask(connection, { subject, body, head }, inFlight, signal)
    },
    problem: () => link.problem(),
    async close() {
      renewal.close()
      await link.close()
    },
  }
}

async function dialAgent(options: AgentConnectionOptions, jwt: () => string): Promise<NatsConnection> {
  const dial = options.dial ?? (await import('@nats-io/transport-node')).connect
  const { ca } = options.tls ?? {}
  return await dial({
    ...NEVER_GIVE_UP,
    ...redialPace(),
    servers: [...options.urls],
    name: `dray agent ${options.agent}`,
    inboxPrefix: agentInboxPrefix(options.agent),
    authenticator: jwtAuthenticator(jwt, new TextEncoder().encode(options.seed)),
    ...(ca === undefined ? {} : { tls: { ca } }),
  })
}

function subscribeRun(connection: NatsConnection, options: AgentConnectionOptions): void {
  connection.subscribe(runSubject(options.agent), {
    callback(error, message) {
      if (error) return options.onError(error)
      // Another agent can place server-made JSON here (facts of the import): what is no command is nothing.
      const command = parseCommand(message.string())
      if (command) options.onRun(command)
    },
  })
}

function parseCommand(text: string): RunCommand | null {
  try {
    return runCommandSchema.safeParse(JSON.parse(text)).data ?? null
  } catch {
    // Not JSON.
    return null
  }
}

interface Question {
  readonly subject: string
  readonly body: Uint8Array
  readonly head: Readonly<Record<string, string>>
}

function ask(
  connection: NatsConnection,
  { subject, body, head }: Question,
  inFlight: Set<(error: Error) => void>,
  signal: AbortSignal,
): Promise<string> {
  const given = headers()
  for (const [name, value] of Object.entries(head)) given.set(name, value)
  return new Promise((resolve, reject) => {
    const settle = (): void => {
      inFlight.delete(fail)
      signal.removeEventListener('abort', onAbort)
    }
    const fail = (error: Error): void => {
      settle()
      reject(error)
    }
    const onAbort = (): void => fail(signal.reason as Error)
    if (signal.aborted) return onAbort()
    inFlight.add(fail)
    signal.addEventListener('abort', onAbort, { once: true })
    connection.request(subject, body, { headers: given, timeout: REQUEST_TIMEOUT_MS }).then((message) => {
      settle()
      resolve(message.string())
    }, fail)
  })
}
