// Portable: Web APIs only.
//
// The relay: a group for each watched job, made with its first client and gone with its last, and with it the group's
// reader, its subscription and its timers.
import { AppError } from '../../shared/errors.ts'
import { isTerminal } from '../../shared/job.ts'
import { attemptOf, terminalSeq } from '../../shared/position.ts'
import { readJob } from './job-reader.ts'
import type { Bus } from './bus-port.ts'
import type { Clock, JobKey, JobStore, Log } from './ports.ts'
import { createRelayClient, type RelayClient } from './relay-client.ts'
import { createRelayGroup, type RelayGroup } from './relay-group.ts'
import { watchRow, type RowWatch } from './relay-rows.ts'
import type { History, Relay } from './relay.ts'

export interface RelayDeps {
  readonly store: Pick<JobStore, 'readJob'>
  readonly bus: Pick<Bus, 'onHint' | 'readBatches' | 'readResume' | 'firstSeq' | 'storedAttempts'>
  readonly clock: Clock
  readonly log: Log
}

interface Watched {
  readonly group: RelayGroup
  readonly rows: RowWatch
  readonly clients: Set<RelayClient>
}

export function createRelay(deps: RelayDeps): Relay {
  const watched = new Map<string, Watched>()
  let closed = false
  const enter = (key: JobKey): Watched => {
    const name = `${key.tenant}/${key.job}`
    const present = watched.get(name)
    if (present) return present
    const rows = watchRow(deps, key)
    const entry = { rows, group: createRelayGroup({ ...deps, key, rows }), clients: new Set<RelayClient>() }
    watched.set(name, entry)
    return entry
  }
  const leave = (key: JobKey, entry: Watched, client: RelayClient): void => {
    entry.clients.delete(client)
    if (entry.clients.size > 0) return
    watched.delete(`${key.tenant}/${key.job}`)
    entry.group.close()
    entry.rows.close()
  }
  return {
    attach(key, options) {
      const client = createRelayClient(options, deps.clock)
      if (closed) {
        client.close(1013, 'the server stops')
        return () => undefined
      }
      const entry = enter(key)
      entry.clients.add(client)
      client.signal.addEventListener('abort', () => leave(key, entry, client), { once: true })
      void entry.group.serve(client)
      return () => client.leave()
    },
    history: (key, after, limit, signal) => readHistory(deps, { key, after, limit }, signal),
    clientCount: () => [...watched.values()].reduce((sum, { clients }) => sum + clients.size, 0),
    close() {
      closed = true
      for (const { clients } of watched.values()) for (const client of clients) client.close(1013, 'the server stops')
      return Promise.resolve()
    },
  }
}

/** A page is held in memory whole: it ends before `limit` where its frames are large. The next one follows its cursor. */
const MAX_PAGE_CHARACTERS = 16 * 2 ** 20

interface Query {
  readonly key: JobKey
  readonly after: number
  readonly limit: number
}

async function readHistory(deps: RelayDeps, { key, after, limit }: Query, signal: AbortSignal): Promise<History> {
  const rows = watchRow(deps, key)
  const stopping = new AbortController()
  try {
    const record = await rows.read()
    if (!record) throw new AppError('not_found', `There is no job "${key.job}".`)
    const { status, attempt } = record.state
    if (attemptOf(after) > attempt)
      throw new AppError('bad_request', `Cannot read after ${after}: the job has no attempt ${attemptOf(after)} yet.`)
    if (isTerminal(status) && after >= terminalSeq(attempt)) return { updates: [], cursor: after, done: true }
    return await collect({ ...deps, key, rows }, { after, limit }, AbortSignal.any([signal, stopping.signal]))
  } finally {
    stopping.abort()
    rows.close()
  }
}

async function collect(
  reader: Parameters<typeof readJob>[0],
  { after, limit }: Omit<Query, 'key'>,
  signal: AbortSignal,
): Promise<History> {
  const updates: string[] = []
  let cursor = after
  let characters = 0
  const isFull = (): boolean => updates.length >= limit || characters >= MAX_PAGE_CHARACTERS
  for await (const { frames, atEdge } of readJob(reader, after, signal)) {
    for (const frame of frames) {
      if (isFull()) return { updates, cursor, done: false }
      updates.push(frame.json)
      characters += frame.json.length
      cursor = frame.seq ?? cursor
      if (frame.kind === 'terminal') return { updates, cursor, done: true }
    }
    if (atEdge || isFull()) return { updates, cursor, done: false }
  }
  signal.throwIfAborted()
  return { updates, cursor, done: false }
}
