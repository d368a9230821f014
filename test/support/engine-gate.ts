// A gate in front of a real engine, the run's own if no other is named. Calls pass through it one after the other, so that a test can have something
// happen between two of an agent's calls, or can lose an answer together with its connection.
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import net from 'node:net'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { inject } from 'vitest'

export interface EngineGate extends AsyncDisposable {
  readonly socketPath: string
  /** Before a call reaches the engine: `POST /containers/…/start?…`. Says whether its answer arrives. */
  onCall: (call: string) => Promise<'answer' | 'lose'>
  /** What the engine sends (latin1), as it passes; gives back what arrives instead. */
  onOutput: (text: string) => string
}

export async function openEngineGate(engineSocket = inject('engineSocket')): Promise<EngineGate> {
  const folder = await mkdtemp(path.join(tmpdir(), 'eg-'))
  const socketPath = path.join(folder, 'sock')
  const clients = new Set<net.Socket>()
  const server = net.createServer({ allowHalfOpen: true }, (client) => {
    clients.add(client)
    client.on('close', () => clients.delete(client))
    passOn(client, engineSocket, gate)
  })
  const gate: EngineGate = {
    socketPath,
    onCall: async () => 'answer',
    onOutput: (text) => text,
    async [Symbol.asyncDispose]() {
      const closed = once(server, 'close')
      server.close()
      for (const client of clients) client.destroy()
      await closed
      await rm(folder, { recursive: true, force: true })
    },
  }
  server.listen(socketPath)
  await once(server, 'listening')
  return gate
}

const CALL = /^((?:GET|POST|DELETE) \S+) HTTP/

function passOn(client: net.Socket, engineSocket: string, gate: EngineGate): void {
  const engine = net.connect({ path: engineSocket, allowHalfOpen: true })
  const destroy = (): void => {
    client.destroy()
    engine.destroy()
  }
  let isLost = false
  let turn = Promise.resolve()
  const next = (step: () => void | Promise<void>): void => {
    turn = turn.then(step).catch(destroy)
  }
  for (const socket of [client, engine]) socket.on('error', destroy)
  client.on('data', (data) =>
    next(async () => {
      const [, call] = CALL.exec(data.toString('latin1')) ?? []
      if (call !== undefined) isLost = (await gate.onCall(call)) === 'lose'
      engine.write(data)
    }),
  )
  engine.on('data', (data) => {
    if (isLost) return destroy()
    client.write(Buffer.from(gate.onOutput(data.toString('latin1')), 'latin1'))
  })
  client.on('end', () => next(() => void engine.end())).on('close', () => engine.destroy())
  engine.on('end', () => client.end()).on('close', () => client.destroy())
}
