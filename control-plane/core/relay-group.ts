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

export function createRelayGroup(deps: ReaderDeps & { readonly log: Log }): RelayGroup {
  const { rows } = deps
  const clients = new Set<RelayClient>()
  let live: Live | null = null

  /** True when the client follows live from now on. `reader` is handed over where it is the first. */
  const join = (client: RelayClient, reader: Reader | null): boolean => {
    if (!live && reader) {
      live = { reader, members: new Set(), position: client.position }
      void runLive(deps, live).finally(() => {
        live = null
      })
    }
    if (!live || client.position < live.position) return false
    const { members } = live
    members.add(client)
    client.signal.addEventListener('abort', () => members.delete(client), { once: true })
    return true
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
        if (!join(client, null)) await catchUp(deps, client, join)
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

async function catchUp(
  deps: ReaderDeps,
  client: RelayClient,
  join: (client: RelayClient, reader: Reader | null) => boolean,
): Promise<void> {
  const stopping = new AbortController()
  const reader = { chunks: readJob(deps, client.position, stopping.signal), stop: () => stopping.abort() }
  client.signal.addEventListener('abort', reader.stop, { once: true })
  let atEdge = false
  let handedOver = false
  try {
    for (let next = await reader.chunks.next(); !next.done; next = await reader.chunks.next()) {
      const { frames } = next.value
      atEdge ||= next.value.atEdge
      if (frames.length > 0) client.send(frameBatch(frames))
      if (frames.at(-1)?.kind === 'terminal') return client.close(1000, 'done')
      if (!(await client.keepsUp())) return
      // The shared reader must outlive this client, so its end is no longer tied to it before it is handed over.
      client.signal.removeEventListener('abort', reader.stop)
      handedOver = join(client, atEdge ? reader : null)
      if (handedOver) return
      client.signal.addEventListener('abort', reader.stop, { once: true })
    }
  } finally {
    if (!handedOver) reader.stop()
  }
}

/** Ends with the job, with the reader, or when the group is closed. One write per tick and client. */
async function runLive({ clock, log }: ReaderDeps & { readonly log: Log }, live: Live): Promise<void> {
  const never = new AbortController().signal
  try {
    for (let next = await live.reader.chunks.next(); !next.done; next = await live.reader.chunks.next()) {
      const { frames } = next.value
      const last = frames.at(-1)
      if (!last) continue
      const batch = frameBatch(frames)
      live.position = last.seq ?? live.position
      for (const client of live.members) client.sendLive(batch)
      if (last.kind === 'terminal') for (const client of live.members) client.close(1000, 'done')
      // What comes within this tick leaves together with the next chunk: a write costs more than a frame.
      await sleep(clock, 0, never)
    }
  } catch (error) {
    for (const client of live.members) closeFor(client, error, log)
  }
}

function closeFor(client: RelayClient, error: unknown, log: Log): void {
  if (error instanceof AppError && error.code === 'unavailable') return client.close(1013, 'try again')
  log.error('The relay failed', { error: error instanceof Error ? (error.stack ?? error.message) : String(error) })
  client.close(1011, 'internal error')
}
