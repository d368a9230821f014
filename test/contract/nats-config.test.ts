// `dray nats config`: what it writes is a server that a control plane and an agent can use, and writing it again keeps who
// is who.
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, readFile, rm, stat } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { wsconnect } from '@nats-io/nats-core'
import { afterAll, beforeAll, expect, inject, test } from 'vitest'
import { createNatsBus } from '../../control-plane/bus/nats-bus.ts'
import { parseBusIdentity } from '../../control-plane/bus/nats-identity.ts'
import { cliEnv, runCli, type CliResult } from '../support/cli-process.ts'
import { freePort } from '../../deploy/free-port.ts'
import { busIsUp, silentLog } from '../support/nats-party.ts'

let folder: string
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'dray-nats-config-'))
})
afterAll(() => rm(folder, { recursive: true, force: true }))

const config = (...args: string[]): Promise<CliResult> => runCli(['nats', 'config', folder, ...args], cliEnv())

test('the server that it describes serves a control plane with the reduced identity, over its WebSocket', async () => {
  const [port, websocketPort] = [await freePort(), await freePort()]
  const written = await config('--port', String(port), '--websocket-port', String(websocketPort), '--max-store', '512m')
  expect(written.code, written.stderr).toBe(0)
  const server = spawn(inject('natsServerPath'), ['--config', join(folder, 'nats.conf')], { stdio: 'ignore' })
  try {
    const text = await readFile(join(folder, 'worker-identity.json'), 'utf8')
    // A secret of Cloudflare holds 5 KB.
    expect(text.length).toBeLessThan(5_000)
    const bus = await createNatsBus({
      urls: [`ws://127.0.0.1:${websocketPort}`],
      identity: parseBusIdentity(text),
      stream: { maxBytes: 256 << 20, maxAgeSeconds: 3600 },
      log: silentLog,
      dial: wsconnect,
    })
    await busIsUp(bus)
    await bus.close()
  } finally {
    const gone = once(server, 'exit')
    server.kill()
    await gone
  }
})

test('identities are for their owner only, and written once', async () => {
  const before = await readFile(join(folder, 'identity.json'), 'utf8')
  expect((await config('--port', '4333')).code).toBe(0)
  expect(await readFile(join(folder, 'identity.json'), 'utf8')).toBe(before)
  expect(await readFile(join(folder, 'nats.conf'), 'utf8')).toContain('listen: "127.0.0.1:4333"')
  for (const name of ['identity.json', 'worker-identity.json'])
    expect((await stat(join(folder, name))).mode & 0o777).toBe(0o600)
})

test('an address that other machines reach needs TLS, or the word --plain', async () => {
  const refused = await config('--host', '0.0.0.0')
  expect([refused.code, refused.stderr]).toEqual([2, expect.stringContaining('--tls-cert')])
  expect((await config('--host', '0.0.0.0', '--plain')).code).toBe(0)
  expect((await config('--host', '0.0.0.0', '--tls-cert', 'a.pem')).code).toBe(2)
})
