// A TCP link between two processes that can be cut and slowed, on 127.0.0.1. A cut link loses nothing that was accepted:
// it delivers nothing until it is healed, as when packets are dropped and TCP sends them again; new connections hang.
// Loss is what TCP makes of it: a pause in the stream, sometimes a broken connection.

import { once } from 'node:events'
import { createConnection, createServer, type Socket } from 'node:net'

export interface LinkFault {
  /** Towards the server; back from it. */
  readonly up?: 'cut'
  readonly down?: 'cut'
  readonly delayMs?: number
  readonly jitterMs?: number
  /** Share of chunks that come late, as if sent again. */
  readonly loss?: number
}

export interface Link {
  readonly port: number
  readonly name: string
  fault(fault: LinkFault | null): void
  /** Breaks what is open. */
  reset(): void
  close(): Promise<void>
}

const RESEND_MS = 200
const RESET_SHARE = 0.02

export async function openLink(name: string, port: number, targets: () => readonly number[]): Promise<Link> {
  const sockets = new Set<Socket>()
  const wires = new Set<{ flow(): void }>()
  let state: LinkFault = {}
  const keep = (socket: Socket): Socket => {
    sockets.add(socket)
    return socket
      .setNoDelay(true)
      .on('error', () => socket.destroy())
      .on('close', () => sockets.delete(socket))
  }
  const joinWires = (client: Socket, server: Socket): void => {
    for (const [from, to, way] of [
      [client, server, 'up'],
      [server, client, 'down'],
    ] as const) {
      const wire = createWire(from, to, way, () => state)
      wires.add(wire)
      from.on('close', () => wires.delete(wire))
    }
  }
  const server = createServer({ allowHalfOpen: true }, (client) => {
    keep(client)
    const dial = (left: readonly number[]): void => {
      const [target, ...others] = left
      if (target === undefined || client.destroyed) return void client.destroy()
      const upstream = createConnection({ port: target, host: '127.0.0.1', allowHalfOpen: true })
      upstream.once('error', () => dial(others))
      upstream.once('connect', () => {
        upstream.removeAllListeners('error')
        joinWires(client, keep(upstream))
      })
    }
    whenHealed(
      () => state,
      () => dial(targets()),
      client,
    )
  })
  server.listen(port, '127.0.0.1')
  await once(server, 'listening')
  return {
    port,
    name,
    fault(fault) {
      state = fault ?? {}
      for (const wire of wires) wire.flow()
    },
    reset: () => sockets.forEach((socket) => socket.destroy()),
    async close() {
      for (const socket of sockets) socket.destroy()
      await once(server.close(), 'close')
    },
  }
}

const LOOK_EVERY_MS = 50

/** A connection that is opened through a cut link opens when it is healed. */
function whenHealed(state: () => LinkFault, then: () => void, client: Socket): void {
  if (!state().up && !state().down) return then()
  const timer = setInterval(() => {
    if (client.destroyed) return clearInterval(timer)
    if (state().up || state().down) return
    clearInterval(timer)
    then()
  }, LOOK_EVERY_MS)
}

/** One direction: chunks wait here in order until they are due and the way is open. Bounded by pausing the source. */
function createWire(from: Socket, to: Socket, way: 'up' | 'down', state: () => LinkFault): { flow(): void } {
  const queue: { readonly bytes: Buffer | 'end' | 'close'; readonly dueMs: number }[] = []
  let timer: NodeJS.Timeout | undefined
  let lastDueMs = 0
  let isFull = false
  const drained = (): void => {
    isFull = false
    flow()
  }
  const flow = (): void => {
    clearTimeout(timer)
    if (isFull || state()[way] === 'cut') return
    for (let head = queue[0]; head; head = queue[0]) {
      const waitMs = head.dueMs - performance.now()
      if (waitMs > 0) return void (timer = setTimeout(flow, waitMs))
      queue.shift()
      if (head.bytes === 'end') to.end()
      else if (head.bytes === 'close') to.destroy()
      else if (!to.destroyed && !to.write(head.bytes)) {
        isFull = true
        return void to.once('drain', drained)
      }
    }
    from.resume()
  }
  const add = (bytes: Buffer | 'end' | 'close'): void => {
    const { delayMs = 0, jitterMs = 0, loss = 0 } = state()
    const late = Math.random() < loss ? RESEND_MS * (1 + Math.random()) : 0
    if (late > 0 && Math.random() < RESET_SHARE) return void from.destroy()
    lastDueMs = Math.max(lastDueMs, performance.now() + delayMs + Math.random() * jitterMs + late)
    queue.push({ bytes, dueMs: lastDueMs })
    if (queue.length > 256) from.pause()
    flow()
  }
  from
    .on('data', (bytes: Buffer) => add(bytes))
    .on('end', () => add('end'))
    .on('close', () => add('close'))
  return { flow }
}
