// What Docker says of an ended container, as the job's end: by itself, by our kill, by that of the process before this
// one, or by an engine that starts again. Pure.
import type { ContainerEnd, KillReason } from '../shared/outcome.ts'
import { earlierKill, isKill, type KillReasons } from './earlier-kill.ts'
import type { EngineMemory } from './engine/engine-memory.ts'

export interface EndFacts {
  readonly code: number
  readonly oomKilled: boolean
  /** As Docker stamps them. */
  readonly startedAt: string
  readonly finishedAt: string
  readonly stopSignal: string
  /** One engine process was there from the start to the end, as far as this process saw it. */
  readonly uninterrupted: boolean
  /** What the engine that is there now saw itself. */
  readonly memory: EngineMemory
  /** Our last signal, and when the first was sent; null where none was. */
  readonly signal: string | undefined
  readonly sentAtMs: number | null
  /** Why we want it stopped. */
  readonly reason: KillReason | null
  /** For a container that an earlier process held. */
  readonly earlier: KillReasons | null
}

/** Nobody can say how it ended. */
export const UNKNOWN_END: ContainerEnd = { code: null, oomKilled: false, killedBy: null }
/** What lost its supervisor comes back so. */
const ORPHANED = 255

export function containerEnd(facts: EndFacts): ContainerEnd {
  const { code, oomKilled, stopSignal, sentAtMs, signal, memory } = facts
  const interrupted = memory.sawStart === null ? !facts.uninterrupted : !memory.sawStart
  const orphaned = code === ORPHANED && interrupted
  // It had ended by itself before our first signal reached it: then it is not our kill.
  const ours = sentAtMs !== null && !(Date.parse(facts.finishedAt) < sentAtMs)
  if (ours && !orphaned) return { code, oomKilled, killedBy: facts.reason, ...(signal ? { signal } : {}) }
  const killedBy = facts.earlier && earlierKill(facts, facts.earlier)
  // An engine that starts again stops what still runs, as it stops everything.
  const byEngine = orphaned || (interrupted && isKill(code, stopSignal))
  if (byEngine && killedBy === null) return UNKNOWN_END
  // No engine saw its end, or one whose successor forgot it. In the first case its last output went into a pipe that
  // nobody held, and is gone: an exit code alone is no result.
  const unheard = killedBy === null && memory.sawStart === false && !memory.sawEnd
  return { code, oomKilled, killedBy, ...(unheard ? { unheard } : {}) }
}
