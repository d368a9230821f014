// The stream UPDATES: made by the control plane, and made again where a wiped store lost it. Agents' publishes get "no
// responders" while it is missing, and they try again; so the keeper looks at every connect and every few seconds.
import {
  DiscardPolicy,
  JetStreamApiError,
  RetentionPolicy,
  StorageType,
  type JetStreamManager,
} from '@nats-io/jetstream'
import { UPDATES_STREAM, UPDATES_SUBJECTS } from '../../shared/subjects.ts'
import type { StreamSeen } from '../core/stream-ledger.ts'
import type { StreamObserver } from './stream-observer.ts'

export interface StreamLimits {
  readonly maxBytes: number
  readonly maxAgeSeconds: number
}

export interface StreamKeeper {
  /** Looks at once; while a look runs, the next one follows it. */
  check(): void
  /** Null, or why the stream is not as it should be. */
  problem(): string | null
  close(): void
}

const CHECK_EVERY_MS = 5_000
const NANOS = 1_000_000
const MAX_MESSAGE_BYTES = 1 << 20
const STREAM_NOT_FOUND = 10_059
const STREAM_NAME_IN_USE = 10_058

/** `manager` gives null while NATS is away: there is nothing to look at then. */
export function keepUpdatesStream(
  manager: () => Promise<JetStreamManager | null>,
  limits: StreamLimits,
  observer?: StreamObserver,
): StreamKeeper {
  let problem: string | null = null
  let running = false
  let again = false
  let closed = false
  const look = async (): Promise<void> => {
    running = true
    do {
      again = false
      try {
        const jsm = await manager()
        if (jsm) await ensureStream(jsm, limits)
        problem = null
        if (jsm) observer?.look(() => seenOf(jsm))
      } catch (error) {
        problem = `stream ${UPDATES_STREAM}: ${error instanceof Error ? error.message : String(error)}`
      }
    } while (again && !closed)
    running = false
  }
  const check = (): void => {
    again = true
    if (!running && !closed) void look()
  }
  const timer = setInterval(check, CHECK_EVERY_MS)
  return {
    check,
    problem: () => problem,
    close() {
      closed = true
      clearInterval(timer)
    },
  }
}

export async function seenOf(jsm: JetStreamManager): Promise<StreamSeen> {
  const { created, state } = await jsm.streams.info(UPDATES_STREAM)
  return { created, lastSeq: state.last_seq }
}

/** Once; throws where it cannot be made or seen. */
export async function ensureStream(jsm: JetStreamManager, limits: StreamLimits): Promise<void> {
  const wanted = { max_bytes: limits.maxBytes, max_age: limits.maxAgeSeconds * 1000 * NANOS }
  try {
    const { config } = await jsm.streams.info(UPDATES_STREAM)
    if (config.max_bytes !== wanted.max_bytes || config.max_age !== wanted.max_age)
      await jsm.streams.update(UPDATES_STREAM, wanted)
  } catch (error) {
    if (codeOf(error) !== STREAM_NOT_FOUND) throw error
    await addStream(jsm, wanted)
  }
}

async function addStream(jsm: JetStreamManager, limits: { max_bytes: number; max_age: number }): Promise<void> {
  try {
    await jsm.streams.add({
      name: UPDATES_STREAM,
      subjects: [UPDATES_SUBJECTS],
      storage: StorageType.File,
      retention: RetentionPolicy.Limits,
      discard: DiscardPolicy.Old,
      // An agent may name any reply subject; these two make the worst of them harmless even within one account.
      deny_purge: true,
      deny_delete: true,
      allow_direct: true,
      max_msg_size: MAX_MESSAGE_BYTES,
      // Nobody uses message ids. The smallest window there is: 0 would mean two minutes.
      duplicate_window: 100 * NANOS,
      num_replicas: 1,
      ...limits,
    })
  } catch (error) {
    // Another control plane with other limits was first: the next look settles them.
    if (codeOf(error) !== STREAM_NAME_IN_USE) throw error
  }
}

function codeOf(error: unknown): number | undefined {
  return error instanceof JetStreamApiError ? error.code : undefined
}
