// Thousands of clients on one control plane. The figures of a quiet machine are the benchmark's (test/bench); this holds what
// must be so on a busy one, too.
import { expect, it } from 'vitest'
import { runManySockets } from '../support/many-sockets.ts'

it('2,000 idle clients and 200 busy ones: each has every update once, and the process weighs little more', async () => {
  const { wrong, latenciesMs, rssMiB } = await runManySockets({
    seconds: 5,
    idle: { jobs: 100, clients: 2_000 },
    busy: { jobs: 50, clients: 200 },
    updatesPerSecond: 2,
  })
  expect(latenciesMs).toHaveLength(200 * 10)
  expect(wrong).toBe(0)
  // Goal and measured figure: `npm run --silent bench -- sockets --json`. This only finds what stands still.
  expect(latenciesMs.toSorted((a, b) => a - b)[Math.ceil(0.99 * latenciesMs.length) - 1]).toBeLessThan(5_000)
  // 64 KiB a client, above what an empty control plane weighs.
  expect(rssMiB.most - rssMiB.before).toBeLessThan(140)
  expect(rssMiB.most).toBeLessThan(512)
}, 120_000)
