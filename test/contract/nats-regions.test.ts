// A super-cluster as docs/deployment.md adds regions: three servers at home hold the stream, one in another region holds
// nothing, and whoever is there uses it all the same. All of one operator; what `dray nats config` writes is added to as
// the page says.
import { afterAll, beforeAll, expect, test } from 'vitest'
import type { Bus } from '../../control-plane/core/bus-port.ts'
import { eventually } from '../support/eventually.ts'
import { freePort } from '../../deploy/free-port.ts'
import { joinAgent, logUpdate, openBus, storedUpdates } from '../support/nats-party.ts'
import { startNats, type TestNats } from '../support/nats-server.ts'

const SERVERS_AT_HOME = 3
const servers: TestNats[] = []
const buses: Bus[] = []

beforeAll(async () => {
  const routes = await ports(SERVERS_AT_HOME)
  const gateways = await ports(SERVERS_AT_HOME)
  const [farGateway] = await ports(1)
  const gateway = (name: string, port: number | undefined): string =>
    `gateway {
      name: ${name}
      listen: "127.0.0.1:${port}"
      gateways: [{ name: home, urls: [${urls(gateways)}] }, { name: far, urls: [${urls([farGateway])}] }]
    }\n`
  const named = (config: string, name: string): string => config.replace('server_name: dray', `server_name: ${name}`)
  const cluster = (port: number): string =>
    `cluster { name: home, listen: "127.0.0.1:${port}", routes: [${urls(routes)}] }\n`
  const first = startNats({ configure: (config) => atHome(config, 0) })
  const { identity } = await first
  function atHome(config: string, index: number): string {
    return named(config, `home-${index}`) + cluster(routes[index] ?? 0) + gateway('home', gateways[index])
  }
  servers.push(await first)
  for (let index = 1; index < SERVERS_AT_HOME; index += 1)
    servers.push(await startNats({ identity, configure: (config) => atHome(config, index) }))
  const withoutStore = (config: string): string => config.replace(/^jetstream \{[^}]*\}\n/m, '')
  const far = await startNats({
    identity,
    configure: (config) => named(withoutStore(config), 'far-0') + gateway('far', farGateway),
  })
  servers.push(far)
  buses.push(await openBus(servers[0] as TestNats), await openBus(far))
})
afterAll(async () => {
  for (const bus of buses) await bus.close()
  for (const server of servers) await server[Symbol.asyncDispose]()
})

const ports = (count: number): Promise<number[]> => Promise.all(Array.from({ length: count }, () => freePort()))
const urls = (of: readonly (number | undefined)[]): string => of.map((port) => `"nats://127.0.0.1:${port}"`).join()

test('an agent of one region is woken from another, and what it says is read in both', async () => {
  const [near, elsewhere] = buses as [Bus, Bus]
  const agent = await joinAgent(servers.at(-1) as TestNats, elsewhere, { id: 'agent-far' })
  const key = { tenant: 't', job: 'j', attempt: 1 }
  await eventually(() => {
    near.publishRun('agent-far', { ...key, image: null })
    return agent.commands.length > 0
  })
  const publisher = await agent.publisher(key)
  await publisher.push([logUpdate('one'), logUpdate('two')], { stdout: 2, stderr: 0 })
  await eventually(async () => (await near.readResume('agent-far', key)).n === 2)
  for (const bus of buses)
    expect(await storedUpdates(bus, 'agent-far', key)).toEqual([
      [1, 'one'],
      [2, 'two'],
    ])
  await publisher.stop()
  await agent.connection.close()
})
