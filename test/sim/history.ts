// What really happened, as only the world can know it: each commit in the database, each message in the stream, each
// container, each frame that reached a client. The checkers read nothing else. Beside it a running hash of it all: the same
// seed must give the same one.
import type { JobEvent } from '../../shared/job-machine.ts'
import type { JobState, TransitionRecord } from '../../shared/job.ts'
import type { Writable } from '../../shared/writable.ts'

export interface JobStory {
  readonly id: string
  /** By the answer to its submit. */
  accepted: boolean
  readonly steps: Step[]
  state: JobState | null
}

export interface Step extends TransitionRecord {
  readonly place: number
  /** In the world's time. */
  readonly ms: number
  readonly cause: JobEvent
  /** Agents whose lease had run out when this was decided. */
  readonly silent: readonly string[]
  readonly before: JobState
  readonly after: JobState
}

/** One update in one message, whether or not the stream still has it. */
export interface StoredUpdate {
  readonly place: number
  readonly ms: number
  readonly attempt: number
  readonly n: number
  readonly session: string
  readonly text: string
  /** When the stream lost it. */
  lostMs: number | null
}

export interface ContainerStory {
  readonly host: string
  readonly agent: string
  readonly job: string
  readonly attempt: number
  readonly gpus: readonly string[]
  startedMs: number | null
  startedPlace: number
  endedMs: number | null
  removedMs: number | null
  /** It ends by SIGKILL only, after its grace. */
  readonly ignoresTerm: boolean
  /** What it printed so far. */
  printed: number
}

export interface Told {
  readonly agent: string
  readonly job: string
  readonly attempt: number
  readonly session: string
  readonly n: number
  readonly ms: number
}

/** A client's reading from one cursor on. */
export interface Reading {
  readonly client: string
  readonly job: string
  readonly after: number
  readonly frames: ReadFrame[]
  /** It reached the terminal update; else its reader left. */
  isWhole: boolean
  error: string | null
}

export interface ReadFrame {
  readonly kind: 'update' | 'gap' | 'terminal'
  readonly from: number
  readonly seq: number
  readonly text: string
}

export interface Violation {
  readonly check: Check
  readonly what: string
}

/** Where a violation is counted in the report. */
export type Check = 'lost' | 'doubled' | 'gaps' | 'stale_accepted' | 'orphans' | 'other'

export interface History {
  readonly jobs: Map<string, JobStory>
  readonly stored: Map<string, StoredUpdate[]>
  readonly containers: ContainerStory[]
  readonly readings: Reading[]
  readonly violations: Violation[]
  /** When the stream lost messages that it had acknowledged. */
  readonly streamLossesMs: number[]
  /** Calls of `finish` as they reached a control plane; `acked`: the answer was 200. */
  readonly finishes: { readonly job: string; readonly attempt: number; readonly session: string; acked: boolean }[]
  /** Attempts as beats listed them that a control plane has answered, in their order. */
  readonly told: Told[]
  /** When agents could not beat, for whatever reason of their own side: until null, still. */
  readonly troubles: { readonly agent: string; readonly fromMs: number; toMs: number | null; readonly what: string }[]
  job(id: string): JobStory
  storedOf(job: string): StoredUpdate[]
  nowMs(): number
  /** The next place in the order of everything. */
  place(): number
  violated(this: void, check: Check, what: string): void
  trace(kind: string, ...values: readonly (string | number)[]): void
  readonly hash: number
}

export function createHistory(nowMs: () => number, onTrace?: (line: string) => void): History {
  let place = 0
  const mix = (value: string | number): void => {
    let { hash } = history
    if (typeof value === 'number') hash = Math.imul(hash ^ value, 0x01000193)
    else for (let at = 0; at < value.length; at += 1) hash = Math.imul(hash ^ value.charCodeAt(at), 0x01000193)
    history.hash = hash
  }
  const jobs = new Map<string, JobStory>()
  const stored = new Map<string, StoredUpdate[]>()
  const violations: Violation[] = []
  const history: Writable<History> = {
    jobs,
    stored,
    containers: [],
    readings: [],
    violations,
    streamLossesMs: [],
    finishes: [],
    told: [],
    troubles: [],
    job(id) {
      const known = jobs.get(id) ?? { id, accepted: false, steps: [], state: null }
      jobs.set(id, known)
      return known
    },
    storedOf(job) {
      const known = stored.get(job) ?? []
      stored.set(job, known)
      return known
    },
    nowMs,
    place: () => (place += 1),
    violated(check, what) {
      violations.push({ check, what: `${Math.round(nowMs())} ms: ${what}` })
    },
    trace(kind, ...values) {
      mix(kind)
      mix(Math.round(nowMs() * 1000))
      for (const value of values) mix(value)
      onTrace?.(`${nowMs().toFixed(1).padStart(10)}  ${kind.padEnd(10)} ${values.join(' ')}`)
    },
    hash: 0x811c9dc5,
  }
  return history
}
