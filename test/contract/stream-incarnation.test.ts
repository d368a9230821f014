// A stream of updates that was wiped or put back is noticed once, said in the log and counted; one that only goes on is not.
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { createNatsBus } from '../../control-plane/bus/nats-bus.ts'
import type { StreamLedger } from '../../control-plane/core/stream-ledger.ts'
import type { JobStore } from '../../control-plane/core/ports.ts'
import { makeDatabaseFolder, type DatabaseFolder } from '../support/database-folder.ts'
import { eventually } from '../support/eventually.ts'
import { startNats } from '../support/nats-server.ts'

let folder: DatabaseFolder
let store: JobStore & StreamLedger
beforeEach(async () => {
  folder = await makeDatabaseFolder()
  store = await folder.open('dray.db')
})
afterEach(async () => {
  await store.close()
  await folder.remove()
})

const changes = async (): Promise<number> => (await store.metrics()).updatesStreamChanges

describe('the ledger of the stream', () => {
  it('tells a new life, an end that fell back, and nothing else', async () => {
    const first = { created: 'monday', lastSeq: 5 }
    expect(await store.lastStream()).toBeNull()
    expect(await store.noteStream(null, first)).toBe('first')
    expect(await store.noteStream(first, { ...first, lastSeq: 9 })).toBeNull()
    // Somebody else noted more meanwhile: a look of before takes nothing back.
    expect(await store.noteStream(first, { ...first, lastSeq: 7 })).toBeNull()
    expect(await store.lastStream()).toEqual({ created: 'monday', lastSeq: 9 })
    expect(await store.noteStream({ ...first, lastSeq: 9 }, { ...first, lastSeq: 3 })).toBe('rolled back')
    expect(await store.noteStream({ ...first, lastSeq: 3 }, { created: 'tuesday', lastSeq: 0 })).toBe('recreated')
    expect(await store.lastStream()).toEqual({ created: 'tuesday', lastSeq: 0 })
    expect(await changes()).toBe(2)
  })

  it('tells one of several control planes that note the same change at once', async () => {
    const [before, now] = [
      { created: 'monday', lastSeq: 5 },
      { created: 'tuesday', lastSeq: 0 },
    ]
    await store.noteStream(null, before)
    const told = await Promise.all(Array.from({ length: 8 }, () => store.noteStream(before, now)))
    expect(told.filter((change) => change !== null)).toEqual(['recreated'])
    expect(await changes()).toBe(1)
  })
})

it('a control plane says it: nothing at a restart of NATS, once for a wiped store, once for one that was put back', async () => {
  await using nats = await startNats()
  const warnings: unknown[] = []
  const log = {
    info: () => undefined,
    warn: (_: string, fields?: Readonly<Record<string, unknown>>) => void warnings.push(fields?.['change']),
    error: () => undefined,
  }
  const stream = { maxBytes: 1 << 20, maxAgeSeconds: 3600 }
  const bus = await createNatsBus({ urls: [nats.url], identity: nats.identity, log, stream, ledger: store })
  try {
    const known = await eventually(async () => (await store.lastStream()) ?? Promise.reject(new Error('not yet')))
    await nats.kill()
    await nats.start()
    await eventually(() => bus.status() === null, { deadlineMs: 10_000, what: 'the bus is up again' })
    await nats.kill()
    await nats.wipe()
    await nats.start()
    await eventually(() => expect(warnings.filter(Boolean)).toEqual(['recreated']), { deadlineMs: 15_000 })
    const made = await store.lastStream()
    expect(made?.created).not.toBe(known.created)
    // As if much more had been seen: what is there now has been put back to an earlier state.
    await store.noteStream(made, { created: made?.created ?? '', lastSeq: 500 })
    await eventually(() => expect(warnings.filter(Boolean)).toEqual(['recreated', 'rolled back']), {
      deadlineMs: 15_000,
    })
    expect(await changes()).toBe(2)
  } finally {
    await bus.close()
  }
}, 60_000)
