// What is on NATS, byte by byte: messages and their headers, parts, the stream's set-up, hints.
import {
  DiscardPolicy,
  jetstreamManager,
  RetentionPolicy,
  StorageType,
  type JetStreamManager,
} from '@nats-io/jetstream'
import type { NatsConnection } from '@nats-io/nats-core'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { dialNats } from '../../control-plane/bus/nats-dial.ts'
import { MAX_BATCH_BYTES, updateBatchSchema, type UpdateBatch } from '../../shared/agent-protocol.ts'
import { updateSubject, UPDATES_STREAM } from '../../shared/subjects.ts'
import { eventually } from '../support/eventually.ts'
import { logUpdate } from '../support/nats-party.ts'
import { openRelayStage, publishLines, type RelayStage } from '../support/relay-stage.ts'

let stage: RelayStage
let raw: NatsConnection
let manager: JetStreamManager
beforeAll(async () => {
  stage = await openRelayStage()
  raw = await dialNats({ urls: [stage.nats.url], credentials: stage.nats.identity.controlPlaneUser, name: 'test' })
  manager = await jetstreamManager(raw)
})
afterAll(async () => {
  await raw.close()
  await stage.close()
})

/** Everything stored on one subject: headers and bodies, in order. */
async function stored(
  subject: string,
): Promise<{ seq: number; headers: string[]; expected: number; size: number; batch: UpdateBatch }[]> {
  const { state } = await manager.streams.info(UPDATES_STREAM)
  const found = []
  for (let seq = state.first_seq; seq <= state.last_seq; seq += 1) {
    const message = await manager.streams.getMessage(UPDATES_STREAM, { seq })
    if (message?.subject !== subject) continue
    const expected = message.header.get('Nats-Expected-Last-Subject-Sequence')
    found.push({
      seq,
      headers: message.header.keys(),
      expected: Number(expected),
      size: message.data.length,
      batch: updateBatchSchema.parse(JSON.parse(new TextDecoder().decode(message.data))),
    })
  }
  return found
}

describe('NATS', () => {
  it('a message is a batch of these fields, without a message id, and expects the sequence of the one before', async () => {
    const job = stage.claimedJob()
    const publisher = await stage.publisherOf(job)
    await publishLines(publisher, 1, 6, 2)
    await publisher.stop()
    const messages = await stored(updateSubject('a1', { tenant: 't', job, attempt: 1 }))
    expect(messages.length).toBeGreaterThan(1)
    let before = 0
    let n = 1
    for (const { seq, headers, expected, batch } of messages) {
      expect(headers).toEqual(['Nats-Expected-Last-Subject-Sequence'])
      expect(expected).toBe(before)
      expect(Object.keys(batch).toSorted()).toEqual(['n', 'session', 'stderr_lines', 'stdout_lines', 'updates'])
      expect(batch).toMatchObject({ session: 'ses_1', n })
      before = seq
      n += batch.updates.length
    }
    expect(messages.at(-1)?.batch).toMatchObject({ stdout_lines: 5, stderr_lines: 0 })
  })

  it('a message is at most 512 KiB: a larger update comes in parts 1 … m, all but the last with the counts before it', async () => {
    const job = stage.claimedJob()
    const publisher = await stage.publisherOf(job)
    await publishLines(publisher, 1, 1)
    publisher.offer([logUpdate('large', 1_500_000)], { stdout: 2, stderr: 0 })
    await publishLines(publisher, 3, 3)
    await publisher.stop()
    const messages = await stored(updateSubject('a1', { tenant: 't', job, attempt: 1 }))
    for (const { size } of messages) expect(size).toBeLessThanOrEqual(MAX_BATCH_BYTES)
    const parts = messages.filter(({ batch }) => batch.part)
    const m = parts.length
    expect(m).toBeGreaterThan(2)
    expect(parts.map(({ batch }) => [batch.n, batch.part?.k, batch.part?.m, batch.updates.length])).toEqual(
      Array.from({ length: m }, (_, index) => [2, index + 1, m, 0]),
    )
    expect(parts.map(({ batch }) => batch.stdout_lines)).toEqual([...Array<number>(m - 1).fill(1), 2])
  })

  it('UPDATES is a file stream of upd.>, oldest out first, bounded by age and bytes, and nobody purges or deletes in it', async () => {
    const { config } = await manager.streams.info(UPDATES_STREAM)
    expect(config).toMatchObject({
      name: 'UPDATES',
      subjects: ['upd.>'],
      storage: StorageType.File,
      retention: RetentionPolicy.Limits,
      discard: DiscardPolicy.Old,
      deny_purge: true,
      deny_delete: true,
      max_bytes: 256 << 20,
      max_age: 3_600 * 1e9,
    })
    await expect(manager.streams.purge(UPDATES_STREAM)).rejects.toThrow()
    await expect(manager.streams.deleteMessage(UPDATES_STREAM, 1)).rejects.toThrow()
  })

  it('a hint is empty, on the subject of its job', async () => {
    const heard: [string, number][] = []
    raw.subscribe('job.>', { callback: (_error, message) => void heard.push([message.subject, message.data.length]) })
    await raw.flush()
    stage.bus.publishHint({ tenant: 't', job: 'hinted' })
    await eventually(() => expect(heard).toContainEqual(['job.t.hinted', 0]))
  })
})
