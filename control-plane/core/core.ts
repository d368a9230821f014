// Portable: Web APIs only.
//
// What the HTTP layer may ask of the core: one method for each thing that a client, an agent or an operator can do.
// Methods take values that http/ has parsed with the schemas of shared/, and throw AppError; they know no HTTP.
import type {
  ClaimBody,
  FinishBody,
  Grant,
  HeartbeatAnswer,
  HeartbeatBody,
  JoinAnswer,
  JoinBody,
} from '../../shared/agent-protocol.ts'
import type { JobRecord, JobView } from '../../shared/job.ts'
import type { JobSpec } from '../../shared/job-spec.ts'
import type { AgentView } from '../../shared/fleet.ts'
import type { AgentRecord, Beat, JobFilter, JobKey, KeyRecord, Metrics, Page, Role } from './ports.ts'

export interface SubmitOptions {
  readonly tenant: string
  readonly idempotencyKey: string | null
  /** SHA-256 of the canonical JSON of the body as it was sent; compared on a repeated key. */
  readonly bodyHash: string
}

export interface AgentCall {
  /** The caller, as its bearer key says. */
  readonly agent: AgentRecord
  readonly session: string
  /** The row of the job that the call is about, where it was read together with the caller. */
  readonly job?: JobRecord | null | undefined
}

/** Of a caller whose key is checked by the batch that writes the beat. */
export interface BeatCall {
  readonly agent: Beat['agent']
  readonly session: string
}

export interface Caller {
  readonly agent: AgentRecord
  readonly job: JobRecord | null
}

export interface NewToken {
  readonly id: string
  /** Shown once, never stored. */
  readonly token: string
  readonly expires_at?: string | undefined
}

export interface Core {
  submit(spec: JobSpec, options: SubmitOptions): Promise<{ readonly created: boolean; readonly job: JobView }>
  /** Not found: AppError not_found. With `queue` while it waits, and its transitions. */
  showJob(key: JobKey): Promise<JobView>
  listJobs(filter: JobFilter): Promise<Page<JobView>>
  cancelJob(key: JobKey, graceSeconds: number | null): Promise<JobView>
  retryJob(key: JobKey): Promise<JobView>

  /** Whose bearer key it is, or null. Reads the job that the call is about along with it. */
  authenticateAgent(key: string, job?: JobKey): Promise<Caller | null>
  authenticateKey(key: string): Promise<KeyRecord | null>
  joinAgent(body: JoinBody, session: string): Promise<JoinAnswer>
  heartbeat(call: BeatCall, body: HeartbeatBody): Promise<HeartbeatAnswer>
  claim(call: AgentCall, job: JobKey, body: ClaimBody): Promise<Grant>
  finish(call: AgentCall, job: JobKey, body: FinishBody): Promise<void>
  leave(call: AgentCall): Promise<void>

  listAgents(page: { readonly limit: number; readonly cursor: string | null }): Promise<Page<AgentView>>
  showAgent(id: string): Promise<AgentView>
  /** cordon: no new work. uncordon: work again, ends drain too. drain: no new work, and say so to the agent. */
  setAgent(id: string, action: 'cordon' | 'uncordon' | 'drain'): Promise<AgentView>
  /** The agent's key and NATS access end; its jobs lapse. */
  deleteAgent(id: string): Promise<void>

  createKey(options: {
    readonly tenant: string
    readonly role: Role
    readonly name: string | null
    readonly expiresAtMs: number | null
  }): Promise<NewToken>
  listKeys(): Promise<readonly KeyRecord[]>
  deleteKey(id: string): Promise<void>
  createJoinToken(options: { readonly pool: string | null; readonly expiresAtMs: number | null }): Promise<NewToken>

  metrics(): Promise<Metrics>
  /** Reasons why this instance is not ready; empty when it is. */
  readiness(): Promise<readonly string[]>
  /** Runs the sweep when the last one is 2 s old; called by every request and by a timer. Never throws. */
  tick(): void
  close(): Promise<void>
}
