// The attached socket of a container as the agent reads it: Docker's frames in order until the container ends, or until
// the socket is lost. Only what engine/attached-output.ts and attach.ts use of a socket is here.
import { EventEmitter } from 'node:events'
import type { Socket } from 'node:net'
import type { EngineWorld } from './engine-world.ts'
import type { LogEntry, SimContainer } from './machine.ts'

class SimSocket extends EventEmitter {
  destroyed = false
  writableFinished = false
  bytesWritten = 0
  onEnd: () => void = () => undefined

  end(input: Uint8Array): void {
    this.bytesWritten += input.length
    this.onEnd()
  }

  destroy(): void {
    if (this.destroyed) return
    this.destroyed = true
    queueMicrotask(() => this.emit('close'))
  }
}

export function openSimSocket({ loop, machine }: EngineWorld, container: SimContainer): Socket {
  const socket = new SimSocket()
  // The call that opens it is the engine's event; whoever reads it is the agent that lives on this machine.
  let owner = loop.current
  socket.on('newListener', () => {
    owner = loop.current
  })
  let lastMs = 0
  const deliver = (run: () => void): void => {
    lastMs = Math.max(lastMs + 0.001, loop.nowMs + 0.5)
    loop.at(owner, lastMs - loop.nowMs, () => {
      if (!socket.destroyed) run()
    })
  }
  const onNews = (news: LogEntry | 'end'): void => {
    if (socket.destroyed) return forget()
    if (news !== 'end') return deliver(() => socket.emit('data', frameOf(news)))
    forget()
    deliver(() => socket.emit('end'))
  }
  const lose = (): void => {
    forget()
    deliver(() => socket.destroy())
  }
  const forget = (): void => {
    container.watchers.delete(onNews)
    machine.sockets.delete(lose)
  }
  container.watchers.add(onNews)
  machine.sockets.add(lose)
  const onEnd = (): void =>
    deliver(() => {
      socket.writableFinished = true
      socket.emit('finish')
    })
  socket.onEnd = onEnd
  return socket as unknown as Socket
}

/** Docker's frame: stream, three zeros, length; then the line. */
function frameOf({ stream, text }: LogEntry): Buffer {
  const line = Buffer.from(`${text}\n`)
  const header = Buffer.from([stream === 'stdout' ? 1 : 2, 0, 0, 0, 0, 0, 0, 0])
  header.writeUInt32BE(line.length, 4)
  return Buffer.concat([header, line])
}
