// A TCP proxy on 127.0.0.1 that can break connections at the worst moment: right after it has passed on what the client
// wrote, before the server's answer.

import { once } from 'node:events'
import { createConnection, createServer, type AddressInfo, type Socket } from 'node:net'

export interface TcpProxy {
  readonly port: number
  /** The next client chunk that holds `text` is passed on, and then both sides are cut. */
  cutAfter(text: string): void
  /** How often that has happened. */
  readonly cuts: number
  /** Breaks every connection now. */
  cutAll(): void
  [Symbol.asyncDispose](): Promise<void>
}

export async function startProxy(targetPort: number): Promise<TcpProxy> {
  const sockets = new Set<Socket>()
  let trap: string | null = null
  let cuts = 0
  const server = createServer((client) => {
    const target = createConnection(targetPort, '127.0.0.1')
    const end = (): void => {
      client.destroy()
      target.destroy()
    }
    for (const socket of [client, target]) {
      sockets.add(socket)
      socket.setNoDelay(true)
      socket.on('error', end).on('close', () => {
        sockets.delete(socket)
        end()
      })
    }
    target.on('data', (data) => void client.write(data))
    client.on('data', (data) => {
      const springs = trap !== null && data.includes(trap)
      if (!springs) return void target.write(data)
      trap = null
      cuts += 1
      client.destroy()
      target.end(data)
    })
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return {
    port: (server.address() as AddressInfo).port,
    cutAfter: (text) => void (trap = text),
    get cuts() {
      return cuts
    },
    cutAll() {
      for (const socket of sockets) socket.destroy()
    },
    async [Symbol.asyncDispose]() {
      for (const socket of sockets) socket.destroy()
      await once(server.close(), 'close')
    },
  }
}
