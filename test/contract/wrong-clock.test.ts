// NATS and a wall clock that is wrong or steps: JWTs expire by the server's clock, and a server that was away is dialled again
// by a clock that cannot go back.

import { afterAll, afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { joinAgent, logUpdate, startParty, storedLines, storedUpdates } from '../support/nats-party.ts'

const never = new AbortController().signal
const party = await startParty()
const { nats, bus, agent, newKey } = party
afterAll(() => party[Symbol.asyncDispose]())

describe('an agent whose clock', () => {
  let shiftMs = 0
  beforeEach(() => {
    const trueNow = Date.now
    shiftMs = 0
    vi.spyOn(Date, 'now').mockImplementation(() => trueNow() + shiftMs)
  })
  afterEach(() => vi.restoreAllMocks())

  test.each([
    ['is a day ahead renews its JWTs in time', 86_400_000],
    ['is a day behind loses its connection at the end of each JWT, says why, and dials again', -86_400_000],
  ])('%s: each update is stored once', async (_, wrongMs) => {
    const id = wrongMs > 0 ? 'ahead' : 'behind'
    const short = await joinAgent(nats, bus, { id, ttlSeconds: 3 })
    const renew = async (): Promise<void> => {
      // The control plane, which is in this process as well, mints by the right time.
      shiftMs = 0
      const jwt = await bus.mintAgentJwt(id, short.nkey, 3)
      shiftMs = wrongMs
      short.connection.setJwt(jwt)
    }
    const renewing = setInterval(() => void renew(), 500)
    const end = performance.now() + 7_000
    const key = newKey()
    const publisher = await short.publisher(key)
    let line = 0
    while (performance.now() < end) {
      line += 1
      await publisher.push([logUpdate(`line ${line}`)], { stdout: line, stderr: 0 })
      await publisher.flush(never)
    }
    clearInterval(renewing)
    expect(await storedUpdates(bus, id, key)).toEqual(storedLines(line))
    expect(/expired/i.test(short.errors.map(String).join())).toBe(wrongMs < 0)
    await publisher.stop()
    await short.connection.close()
  })

  test('goes back by a day dials a server that was away again at once, and so does the control plane', async () => {
    const key = newKey()
    const publisher = await agent.publisher(key)
    shiftMs = -86_400_000
    await nats.kill()
    await nats.start()
    publisher.offer([logUpdate('line 1')], { stdout: 1, stderr: 0 })
    await publisher.flush(AbortSignal.timeout(10_000))
    expect(await storedUpdates(bus, 'a1', key)).toEqual(storedLines(1))
    await publisher.stop()
  })
})
