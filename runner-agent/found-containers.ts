// Containers of ours that an earlier process of this agent left, found by their labels. Other containers on the machine,
// and those of other agents, are never looked at.
import { attemptOfLabels, containerName, LABEL } from '../shared/container-identity.ts'
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
    const container = foundOf(id, labels, state)
    if (container) found.push(container)
  }
  return found
}

/** The one that has an attempt's name, where it is this agent's. */
export async function findByName(
  engine: Engine,
  agentId: string,
  key: AttemptKey,
  signal: AbortSignal,
): Promise<FoundContainer | null> {
  const { Id, Config, State } = await engine.inspectContainer(containerName(key), signal)
  const found = foundOf(Id, Config.Labels, State.Status)
  const isOurs =
    Config.Labels[LABEL.agent] === agentId && found !== null && containerName(found.key) === containerName(key)
  return isOurs ? found : null
}

function foundOf(id: string, labels: Readonly<Record<string, string>>, state: string): FoundContainer | null {
  const key = attemptOfLabels(labels)
  if (!key) return null
  const lostAfterSeconds = Number(labels[LABEL.lostAfter]) || 600
  const updates = labels[LABEL.updates]
  const updatesBefore = updates === undefined ? null : Number(updates)
  return { id, key, state, bootId: labels[LABEL.boot] ?? '', lostAfterSeconds, updatesBefore }
}
