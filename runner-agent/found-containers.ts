// Containers of ours that an earlier process of this agent left, found by their labels. Other containers on the machine,
// and those of other agents, are never looked at.
import { attemptOfLabels, LABEL } from '../shared/container-identity.ts'
import type { AttemptKey } from '../shared/subjects.ts'
import type { Engine } from './engine/engine-client.ts'

export interface FoundContainer {
  readonly id: string
  readonly key: AttemptKey
  /** Docker's word: created, running, exited, … */
  readonly state: string
  /** Of the machine's boot that it was made in. */
  readonly bootId: string
  readonly lostAfterSeconds: number
  /** Updates of its attempt before it; null where an older agent made it. */
  readonly updatesBefore: number | null
}

export async function findContainers(engine: Engine, agentId: string, signal: AbortSignal): Promise<FoundContainer[]> {
  const found: FoundContainer[] = []
  for (const { id, labels, state } of await engine.listContainers([`${LABEL.agent}=${agentId}`], signal)) {
    const key = attemptOfLabels(labels)
    if (!key) continue
    const lostAfterSeconds = Number(labels[LABEL.lostAfter]) || 600
    const updates = labels[LABEL.updates]
    const updatesBefore = updates === undefined ? null : Number(updates)
    found.push({ id, key, state, bootId: labels[LABEL.boot] ?? '', lostAfterSeconds, updatesBefore })
  }
  return found
}
