// Portable: Web APIs only.
//
// The HTTP shape of an agent (PROTOCOL 3).
import type { Gpu, Posture } from './agent-protocol.ts'

export interface AgentView {
  readonly id: string
  readonly name: string
  readonly pool: string
  readonly labels: Readonly<Record<string, string>>
  readonly state: 'ready' | 'cordoned' | 'draining' | 'lost'
  readonly version: string
  readonly protocol: number
  readonly capacity: {
    readonly cpus: number
    readonly memory: number
    readonly disk?: number | undefined
    readonly gpus: readonly Gpu[]
  }
  readonly used: { readonly cpus: number; readonly memory: number; readonly gpus: readonly string[] }
  readonly running: readonly { readonly tenant: string; readonly job: string; readonly attempt: number }[]
  readonly posture: Posture
  readonly last_seen_at?: string | undefined
}
