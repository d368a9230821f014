// What the steps of a job's run share: the agent's parts, and what is known of this one attempt.
import type { Grant, Resume } from '../shared/agent-protocol.ts'
import type { ContainerPolicy } from '../shared/container-options.ts'
import type { HeldPhase } from '../shared/job.ts'
import type { AttemptKey } from '../shared/subjects.ts'
import type { UpdateBody } from '../shared/update-mapper.ts'
import type { AgentLog } from './agent-log.ts'
import type { ControlPlane } from './control-plane-client.ts'
import type { Engine } from './engine/engine-client.ts'
import type { JobControl } from './job-control.ts'
import type { Publisher } from './publisher.ts'
import type { Semaphore } from './semaphore.ts'
import type { PublisherStop } from './unit-sender.ts'

export interface PublisherRequest {
  readonly key: AttemptKey
  readonly resume: Resume
  /** Asks again where the stored updates end; rejects when nobody can say now. */
  readonly readResume: (signal: AbortSignal) => Promise<Resume | 'fenced'>
  readonly onStop: (stop: PublisherStop) => void
}

export interface JobDeps {
  readonly agentId: string
  readonly session: string
  readonly bootId: string
  readonly engine: Engine
  readonly controlPlane: ControlPlane
  readonly policy: ContainerPolicy
  readonly starts: Semaphore
  readonly openPublisher: (request: PublisherRequest) => Publisher
  /** Settles when the control plane has taken this process for the agent's newest: a claim before that is refused. */
  readonly welcomed: Promise<void>
  /** The number of the last heartbeat. */
  readonly beat: () => number
  /** Something changed that the control plane should hear at once. */
  readonly poke: () => void
  /** An image came to this machine. */
  readonly onPulled: () => void
  readonly log: AgentLog
}

/** A granted attempt. */
export interface JobContext {
  readonly deps: JobDeps
  readonly key: AttemptKey
  readonly grant: Grant
  readonly control: JobControl
  readonly publisher: Publisher
  setPhase(phase: HeldPhase): void
  /** Number of the last update so far. */
  lastN(this: void): number
  advance(count: number): void
  /** Adds one of the agent's own updates; false where there was no room and it was left out. */
  announce(update: UpdateBody): boolean
  /** The container runs: says so once, at the start's answer or at the first line, which may come before it. */
  announceRunning(): void
}
