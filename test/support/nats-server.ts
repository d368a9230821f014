// A real nats-server for one test file: operator mode with a fresh identity, free ports on 127.0.0.1, files in a folder of
// its own. It waits for readiness, can be killed, frozen, restarted on the same ports and wiped, and shows its log when
// it does not come up.

import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { createConnection, createServer, type AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createIdentity, type NatsIdentity } from '../../control-plane/bus/nats-identity.ts'
import { natsServerConfig, type ServerTls } from '../../control-plane/bus/server-config.ts'
import { findNatsServer } from '../../deploy/tools.ts'
import { eventually } from './eventually.ts'

export interface TestNats {
  readonly identity: NatsIdentity
  readonly url: string
  readonly port: number
  readonly websocketUrl: string
  /** Where JetStream keeps its files. */
  readonly storeDir: string
  /** In good order. */
  stop(): Promise<void>
  /** SIGKILL, as a crash. */
  kill(): Promise<void>
  /** Starts it again on the same ports and files. */
  start(): Promise<void>
  freeze(): void
  thaw(): void
  /** Takes everything that was stored; the server must be down. */
  wipe(): Promise<void>
  log(): Promise<string>
  [Symbol.asyncDispose](): Promise<void>
}

export interface TestNatsOptions {
  readonly tls?: ServerTls | undefined
  /** Another server's: one more of the same operator. */
  readonly identity?: NatsIdentity | undefined
  /** What an operator may add to the configuration, or change of it. */
  readonly configure?: ((config: string) => string) | undefined
}

export async function startNats(options: TestNatsOptions = {}): Promise<TestNats> {
  const folder = await mkdtemp(join(tmpdir(), 'dray-nats-'))
  const identity = options.identity ?? (await createIdentity())
  const [port = 0, websocketPort = 0] = await freePorts(2)
  const storeDir = join(folder, 'store')
  const logFile = join(folder, 'log')
  const config = natsServerConfig({
    identity,
    port,
    storeDir,
    resolverDir: join(folder, 'accounts'),
    maxStoreBytes: 512 << 20,
    websocket: { port: websocketPort },
    tls: options.tls,
  })
  await writeFile(join(folder, 'nats.conf'), options.configure?.(config) ?? config)
  const program = await findNatsServer()
  let child: ChildProcess | null = null
  const log = (): Promise<string> => readFile(logFile, 'utf8').catch(() => '')
  const start = async (): Promise<void> => {
    const started = spawn(program, ['-c', join(folder, 'nats.conf'), '-l', logFile], { stdio: 'ignore' })
    child = started
    const check = async (): Promise<void> => {
      if (started.exitCode !== null) throw new Error(`nats-server ended with ${started.exitCode}:\n${await log()}`)
      await readInfo(port)
    }
    await eventually(check, { deadlineMs: 10_000, what: 'nats-server is ready' })
  }
  const end = async (signal: NodeJS.Signals): Promise<void> => {
    if (!child || child.exitCode !== null || child.signalCode !== null) return
    const gone = once(child, 'exit')
    child.kill(signal)
    await gone
  }
  const kill = (): Promise<void> => end('SIGKILL')
  await start()
  return {
    identity,
    url: `${options.tls ? 'tls' : 'nats'}://127.0.0.1:${port}`,
    port,
    websocketUrl: `${options.tls ? 'wss' : 'ws'}://127.0.0.1:${websocketPort}`,
    storeDir,
    stop: () => end('SIGTERM'),
    kill,
    start,
    freeze: () => void child?.kill('SIGSTOP'),
    thaw: () => void child?.kill('SIGCONT'),
    wipe: () => rm(storeDir, { recursive: true, force: true }),
    log,
    async [Symbol.asyncDispose]() {
      await kill()
      await rm(folder, { recursive: true, force: true })
    },
  }
}

/** The server's first line, which it sends when it can serve. */
async function readInfo(port: number): Promise<void> {
  const socket = createConnection(port, '127.0.0.1')
  try {
    const [data] = (await once(socket, 'data', { signal: AbortSignal.timeout(1_000) })) as [Uint8Array]
    if (!new TextDecoder().decode(data).startsWith('INFO ')) throw new Error('it is not NATS that answers')
  } finally {
    socket.destroy()
  }
}

/** Held all at once, so that they differ. */
async function freePorts(count: number): Promise<number[]> {
  const servers = Array.from({ length: count }, () => createServer().listen(0, '127.0.0.1'))
  await Promise.all(servers.map((server) => once(server, 'listening')))
  const ports = servers.map((server) => (server.address() as AddressInfo).port)
  await Promise.all(servers.map((server) => once(server.close(), 'close')))
  return ports
}
