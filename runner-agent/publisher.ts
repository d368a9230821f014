// Publishes what one attempt says: numbered, in order, each update stored once (PROTOCOL 5). The first update leaves at
// once; what comes while a message is in flight goes together in the next. One message is in flight at a time, and each
// names the sequence of its predecessor, so a second writer can never mix in.
//
// Promises: what was taken is stored, or `onStop` says why not; at most 4 MiB and the updates of one line wait here. NATS may
// be away for any time: the unit in hand is sent again until its fate is known. It keeps nothing over a restart: the
// next process resumes from what is stored, by Docker's log.
import type { Resume } from '../shared/agent-protocol.ts'
import { updateSubject, type AttemptKey } from '../shared/subjects.ts'
import type { UpdateBody } from '../shared/update-mapper.ts'
import type { AgentConnection } from './nats-connection.ts'
import { createPublishQueue, type LinesAfter, type PublishQueue } from './publish-queue.ts'
import type { UpdatePosition } from './publish-unit.ts'
import { createUnitSender, type PublisherStop, type UnitSender } from './unit-sender.ts'

export interface PublisherOptions {
  readonly connection: Pick<AgentConnection, 'request'>
  readonly agent: string
  readonly session: string
  readonly key: AttemptKey
  /** Where the stored updates end: from the grant. */
  readonly resume: Resume
  /** A claim with `adopt`: asked when a message's fate is unknown. May reject: it is asked again. */
  readonly readResume: (signal: AbortSignal) => Promise<Resume | 'fenced'>
  /** Called once, when nothing will be published any more and stop() was not called. */
  readonly onStop: (stop: PublisherStop) => void
  /** Trouble that lasts; for a log. */
  readonly onTrouble?: ((what: string) => void) | undefined
}

export interface Publisher {
  /** Takes the next updates, of one line; `after` is the position behind them. False: no room, nothing was taken. */
  offer(updates: readonly UpdateBody[], after: LinesAfter): boolean
  /** Settles when there is room again; rejects when nothing will be published any more. */
  room(): Promise<void>
  /** `offer` that waits for room. */
  push(updates: readonly UpdateBody[], after: LinesAfter): Promise<void>
  /** Resolves when everything that was taken is stored; rejects with the signal or when publishing stopped. */
  flush(signal: AbortSignal): Promise<void>
  /** What is stored. */
  position(): UpdatePosition
  /** The number that the next update will get. */
  nextN(): number
  /** Gives up what waits. Idempotent. */
  stop(): Promise<void>
}

export function createPublisher(options: PublisherOptions): Publisher {
  const { resume, session } = options
  const ending = new AbortController()
  const start = { n: resume.n, stdout_lines: resume.stdout_lines, stderr_lines: resume.stderr_lines }
  const queue = createPublishQueue(start)
  const subject = updateSubject(options.agent, options.key)
  const sender = createUnitSender({ ...options, subject, signal: ending.signal })
  const end = (why: string): void => {
    ending.abort(new Error(why))
    queue.changed.fire()
  }
  const running = publishAll({ queue, sender, session, signal: ending.signal }).then((stop) => {
    if (!stop || ending.signal.aborted) return
    end(`Publishing stopped: ${stop.kind}`)
    options.onStop(stop)
  })
  const until = async (done: () => boolean, signal?: AbortSignal): Promise<void> => {
    while (!done()) {
      ending.signal.throwIfAborted()
      signal?.throwIfAborted()
      await queue.changed.wait(signal)
    }
  }
  const offer: Publisher['offer'] = (updates, after) => {
    if (ending.signal.aborted || !queue.hasRoom()) return false
    queue.add(updates, after)
    return true
  }
  return {
    offer,
    room: () => until(() => !ending.signal.aborted && queue.hasRoomAgain()),
    async push(updates, after) {
      while (!offer(updates, after)) await until(() => !ending.signal.aborted && queue.hasRoomAgain())
    },
    flush: (signal) => until(() => queue.stored().n === queue.nextN() - 1, signal),
    position: queue.stored,
    nextN: queue.nextN,
    async stop() {
      end('The publisher was stopped')
      await running
    },
  }
}

interface Loop {
  readonly queue: PublishQueue
  readonly sender: UnitSender
  readonly session: string
  readonly signal: AbortSignal
}

/** Ends when the signal aborts (null) or when the sender says that nothing more may be published. */
async function publishAll({ queue, sender, session, signal }: Loop): Promise<PublisherStop | null> {
  while (!signal.aborted) {
    const unit = queue.take(session)
    if (!unit) {
      await queue.changed.wait()
      continue
    }
    const stop = await sender.send(unit)
    if (stop || signal.aborted) return stop
    queue.markStored(unit)
  }
  return null
}
