// The engine starts a container and dies before it says so. The container has run: it must not run again.
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import net from 'node:net'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { expect, inject, test } from 'vitest'
import { startAgentFixture } from '../support/agent-fixture.ts'

/** In front of the real engine: the first answers to a start are lost with their connections. */
async function loseStarts(losses: number): Promise<AsyncDisposable & { socketPath: string; readonly lost: number }> {
  const folder = await mkdtemp(path.join(tmpdir(), 'ls-'))
  const socketPath = path.join(folder, 'sock')
  let lost = 0
  const server = net.createServer({ allowHalfOpen: true }, (client) => {
    const engine = net.connect({ path: inject('engineSocket'), allowHalfOpen: true })
    let starts = false
    for (const socket of [client, engine]) socket.on('error', () => socket.destroy())
    client.on('data', (data) => {
      starts ||= lost < losses && /^POST \S*\/start[ ?]/.test(data.toString('latin1'))
      engine.write(data)
    })
    engine.on('data', (data) => {
      if (!starts) return void client.write(data)
      lost += 1
      client.destroy()
      engine.destroy()
    })
    client.on('end', () => engine.end()).on('close', () => engine.destroy())
    engine.on('end', () => client.end()).on('close', () => client.destroy())
  })
  server.listen(socketPath)
  await once(server, 'listening')
  return {
    socketPath,
    get lost() {
      return lost
    },
    async [Symbol.asyncDispose]() {
      await new Promise((resolve) => server.close(resolve))
      await rm(folder, { recursive: true, force: true })
    },
  }
}

test('a container whose start was answered into the void has run once', async () => {
  await using engine = await loseStarts(1)
  const fixture = await startAgentFixture(engine.socketPath)
  try {
    const job = fixture.controlPlane.submit('once', fixture.sh('echo once; exit 3'))
    expect(await fixture.finished(job)).toMatchObject({ exit: { code: 3 }, updates: 3 })
    expect(engine.lost).toBe(1)
    const updates = await fixture.controlPlane.updates('once', 3)
    expect(updates.map(({ content }) => content).filter((content) => content !== undefined)).toEqual(['once'])
    await fixture.gone()
  } finally {
    await fixture.close()
  }
})
