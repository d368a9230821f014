// The relay of this process: its contract, over rows in memory behind the port, and how fast it is.

import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { seqOf } from '../../shared/position.ts'
import { eventually } from '../support/eventually.ts'
import { logUpdate } from '../support/nats-party.ts'
import { keyOf, openRelayStage, publishLines, seqs, type RelayStage } from '../support/relay-stage.ts'
import { localRelay } from '../support/relay-under-test.ts'
import { attach } from '../support/relay-watcher.ts'
import { relayContract } from './relay.contract.ts'

describe('the relay', () => relayContract(localRelay))

let stage: RelayStage

beforeAll(async () => {
  stage = await openRelayStage()
})
afterAll(() => stage.close())
afterEach(() => {
  expect(stage.relay.clientCount()).toBe(0)
  expect(stage.errors).toEqual([])
})

test('from publish to sink it takes milliseconds', async () => {
  const job = stage.claimedJob()
  const publisher = await stage.publisherOf(job)
  const watcher = attach(stage.relay, keyOf(job), 0)
  await publishLines(publisher, 1, 5)
  await eventually(() => expect(watcher.seqs).toEqual(seqs(1, 5)))
  const latenciesMs: number[] = []
  for (let n = 6; n <= 205; n += 1) {
    const begun = performance.now()
    publisher.offer([logUpdate(`line ${n}`)], { stdout: n, stderr: 0 })
    latenciesMs.push((await watcher.arrival(seqOf(1, n))) - begun)
  }
  latenciesMs.sort((a, b) => a - b)
  const [p50 = 0, p99 = 0] = [latenciesMs[100], latenciesMs[198]]
  console.info(`publish -> sink: p50 ${p50.toFixed(2)} ms, p99 ${p99.toFixed(2)} ms`)
  expect(p50).toBeLessThan(20)
  watcher.detach()
  await publisher.stop()
})
