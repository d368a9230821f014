// What happened, as everybody involved saw it: one JSON object a line in a file, and the same objects in memory for the
// checkers, which know nothing else. Times are the machine's wall clock in ms, the one that all processes of a run share.

import { createWriteStream } from 'node:fs'
import type { JobPlan } from './job-mix.ts'
import type { StoryRun } from './story-runs.ts'

/** A job as the API shows it at the end. */
export interface FinalJob {
  readonly id: string
  readonly tenant: string
  readonly status: string
  readonly error?: string | undefined
  readonly message?: string | undefined
  readonly exitCode?: number | null | undefined
  readonly attempt: number
  readonly createdAtMs: number
  readonly finishedAtMs: number | null
  readonly attempts: readonly { readonly attempt: number; readonly agent: string; readonly claimedAtMs: number }[]
  /** How many transitions led to a terminal status. */
  readonly ends: number
}

export interface RunningContainer {
  readonly tenant: string
  readonly job: string
  readonly attempt: number
}

export type ChaosEvent = { readonly t: number } & (
  | { readonly op: 'fault'; readonly kind: string; readonly target: string; readonly phase: 'begin' | 'end' }
  /** `info`: no answer that says anything; it may have been accepted. */
  | {
      readonly op: 'submit'
      readonly phase: 'invoke' | 'ok' | 'fail' | 'info'
      readonly key: string
      readonly plan: JobPlan
      readonly job?: string
      readonly status?: number
    }
  | { readonly op: 'cancel'; readonly tenant: string; readonly job: string; readonly status: number }
  | {
      readonly op: 'seen'
      readonly tenant: string
      readonly job: string
      readonly status: string
      readonly attempt: number
    }
  | {
      readonly op: 'open'
      readonly client: string
      readonly tenant: string
      readonly job: string
      readonly after: number
    }
  | { readonly op: 'story'; readonly client: string; readonly job: string; readonly runs: readonly StoryRun[] }
  | { readonly op: 'close'; readonly client: string; readonly job: string; readonly code: number }
  /** When each agent was last heard of, by the control plane's word. */
  | { readonly op: 'fleet'; readonly lastSeenMs: Readonly<Record<string, number>> }
  /** What an engine runs, asked by us and not by its agent. */
  | { readonly op: 'running'; readonly engine: string; readonly containers: readonly RunningContainer[] }
  /** Somebody read what belongs to another tenant. */
  | { readonly op: 'taint'; readonly tenant: string; readonly where: string }
  | { readonly op: 'stranger'; readonly tenant: string; readonly job: string; readonly status: number }
  /** What each process of the stage holds: MiB of memory and open files. */
  | {
      readonly op: 'rss'
      readonly mb: Readonly<Record<string, number>>
      readonly fds: Readonly<Record<string, number>>
    }
  | { readonly op: 'exit'; readonly part: string; readonly code: number | null; readonly said: string }
  | { readonly op: 'final'; readonly job: FinalJob }
  | { readonly op: 'left'; readonly where: string; readonly what: string }
  /** Left half started by an engine that was killed: it never began what it was to run, and no engine knows it. */
  | { readonly op: 'half_started'; readonly pid: string }
)

export type Untimed<T> = T extends unknown ? Omit<T, 't'> : never

export interface History {
  readonly events: readonly ChaosEvent[]
  note(event: Untimed<ChaosEvent>): void
  /** Resolves when all of it is in the file. */
  close(): Promise<void>
}

export function openHistory(path: string): History {
  const events: ChaosEvent[] = []
  const file = createWriteStream(path)
  return {
    events,
    note(event) {
      const timed = { t: Date.now(), ...event } as ChaosEvent
      events.push(timed)
      file.write(`${JSON.stringify(timed)}\n`)
    },
    close: () => new Promise((resolve) => file.end(resolve)),
  }
}
