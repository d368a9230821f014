// Portable: Web APIs only.
//
// The clients of one job. A client first catches up by a reader of its own, at its own pace. At the live edge it joins
// the others, who share one reader: the first one to get there brings its reader along, the next ones let theirs go.
// Joining has no gap and no repeat, because a client joins in the same turn in which its position is found to be at or
// past the shared one, and every client drops what lies at or before its own position.
import { AppError } from '../../shared/errors.ts'
import { isTerminal, type JobRecord } from '../../shared/job.ts'
import { attemptOf, terminalSeq } from '../../shared/position.ts'
import type { ReadChunk, ReaderDeps } from './attempt-reader.ts'
import { readJob } from './job-reader.ts'
import type { Log } from './ports.ts'
import type { RelayClient } from './relay-client.ts'
import { frameBatch, stateFrame } from './relay-frames.ts'
import type { SerialFrame } from './relay.ts'
import { sleep } from './relay-wake.ts'

export interface RelayGroup {
  /** Serves a client to its end; it is told by close codes. */
  serve(client: RelayClient): Promise<void>
  /** No client any more: stops the shared reader. */
  close(): void
}

interface Reader {
  readonly chunks: AsyncGenerator<ReadChunk, void>
  readonly stop: () => void
}

interface Live {
  readonly reader: Reader
  readonly members: Set<RelayClient>
  position: number
}

/** Whether the client follows live from now on; `brought`: with the reader it came with, which is now the shared one. */
type Join = (client: RelayClient, reader: Reader | null) => 'joined' | 'brought' | 'not yet'

export function createRelayGroup(deps: ReaderDeps & { readonly log: Log }): RelayGroup {
  const { rows } = deps
  const clients = new Set<RelayClient>()
  let live: Live | null = null

  const join: Join = (client, reader) => {
    const brings = !live && reader !== null
    if (brings) {
      live = { reader, members: new Set(), position: client.position }
      void runLive(deps, live, () => {
        live = null
      })
    }
    if (!live || client.position < live.position) return 'not yet'
    const { members } = live
    members.add(client)
    client.signal.addEventListener('abort', () => members.delete(client), { once: true })
    return brings ? 'brought' : 'joined'
  }
  const unwatch = rows.onRead(() => {
    const record = rows.current()
    if (!record || isTerminal(record.state.status)) return
    const batch = frameBatch([stateFrame(record.state)])
    for (const client of clients) client.sendState(batch)
  })
  return {
    async serve(client) {
      try {
        const record = await rows.read()
        if (client.signal.aborted) return
        const refusal = refusalOf(record, client.position)
        if (refusal) return client.close(...refusal)
        if (record && !isTerminal(record.state.status)) client.sendState(frameBatch([stateFrame(record.state)]))
        clients.add(client)
        client.signal.addEventListener('abort', () => clients.delete(client), { once: true })
        if (join(client, null) === 'not yet') await catchUp(deps, client, join)
      } catch (error) {
        closeFor(client, error, deps.log)
      }
    },
    close() {
      unwatch()
      live?.reader.stop()
    },
  }
}

/** Null, or the close code of a cursor that cannot be served (PROTOCOL 4). */
function refusalOf(record: JobRecord | null, after: number): [number, string] | null {
  if (!record) return [4404, 'no such job']
  const { status, attempt } = record.state
  if (attemptOf(after) > attempt) return [4400, 'bad cursor: the job has no such attempt']
  return isTerminal(status) && after >= terminalSeq(attempt) ? [1000, 'done'] : null
}

async function catchUp(deps: ReaderDeps, client: RelayClient, join: Join): Promise<void> {
  const reader = openReader(deps, client.position)
  client.signal.addEventListener('abort', reader.stop, { once: true })
  let atEdge = false
  let joined: ReturnType<Join> = 'not yet'
  try {
    for (let next = await reader.chunks.next(); !next.done; next = await reader.chunks.next()) {
      const { frames } = next.value
      atEdge ||= next.value.atEdge
      if (frames.length > 0) client.send(frameBatch(frames))
      if (frames.at(-1)?.kind === 'terminal') return client.close(1000, 'done')
      if (!(await client.keepsUp())) return
      // The shared reader must outlive this client, so its end is no longer tied to it before it is handed over.
      client.signal.removeEventListener('abort', reader.stop)
      joined = join(client, atEdge ? reader : null)
      if (joined !== 'not yet') return
      client.signal.addEventListener('abort', reader.stop, { once: true })
    }
  } finally {
    if (joined !== 'brought') reader.stop()
  }
}

function openReader(deps: ReaderDeps, after: number): Reader {
  const stopping = new AbortController()
  const chunks = readJob(deps, after, stopping.signal)
  const stop = (): void => {
    stopping.abort()
    // A generator that nobody asks any more would keep its consumer: this lets it clean up. Its errors matter no more.
    chunks.return().catch(() => undefined)
  }
  return { chunks, stop }
}

/** Ends with the job, with the reader, or when the group is closed. One write per tick and client. */
async function runLive(deps: ReaderDeps & { readonly log: Log }, live: Live, onEnd: () => void): Promise<void> {
  const never = new AbortController().signal
  const { chunks } = live.reader
  try {
    for (let next = await chunks.next(); !next.done; next = await chunks.next()) {
      if (next.value.frames.length === 0) continue
      broadcast(next.value.frames, live)
      // What comes within this tick leaves together with the next chunk: a write costs more than a frame.
      await sleep(deps.clock, 0, never)
    }
    onEnd()
  } catch (error) {
    // First of all: from here on nobody may join a reader that says nothing any more.
    onEnd()
    for (const client of live.members) closeFor(client, error, deps.log)
  }
}

function broadcast(frames: readonly SerialFrame[], live: Live): void {
  const batch = frameBatch(frames)
  const last = frames.at(-1)
  live.position = last?.seq ?? live.position
  for (const client of live.members) client.sendLive(batch)
  if (last?.kind === 'terminal') for (const client of live.members) client.close(1000, 'done')
}

function closeFor(client: RelayClient, error: unknown, log: Log): void {
  if (error instanceof AppError && error.code === 'unavailable') return client.close(1013, 'try again')
  log.error('The relay failed', { error: error instanceof Error ? (error.stack ?? error.message) : String(error) })
  client.close(1011, 'internal error')
}
