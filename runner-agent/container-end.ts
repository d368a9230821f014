// What Docker says of an ended container, as the job's end: by itself, by our kill, by that of the process before this
// one, or by an engine that starts again. Pure.
import type { ContainerEnd, KillReason } from '../shared/outcome.ts'
import { earlierKill, isKill, type KillReasons } from './earlier-kill.ts'
import type { Outage } from './engine/outage-memory.ts'

export interface EndFacts {
  readonly code: number
  readonly oomKilled: boolean
  /** As Docker stamps them. */
  readonly startedAt: string
  readonly finishedAt: string
  readonly stopSignal: string
  /** One engine process was there from the start to the end. */
  readonly uninterrupted: boolean
  /** When no engine was there, as far as this process and those before it noticed. */
  readonly outages: readonly Outage[]
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
/** An outage is noticed a little after it began. */
const NOTICED_WITHIN_MS = 500
/** What lost its supervisor comes back so. */
const ORPHANED = 255

export function containerEnd(facts: EndFacts): ContainerEnd {
  const { code, oomKilled, stopSignal, sentAtMs, signal } = facts
  const interrupted = !facts.uninterrupted || facts.outages.some((outage) => livedIn(outage, facts))
  const orphaned = code === ORPHANED && interrupted
  // It had ended by itself before our first signal reached it: then it is not our kill.
  const ours = sentAtMs !== null && !(Date.parse(facts.finishedAt) < sentAtMs)
  if (ours && !orphaned) return { code, oomKilled, killedBy: facts.reason, ...(signal ? { signal } : {}) }
  const killedBy = facts.earlier && earlierKill(facts, facts.earlier)
  // An engine that starts again stops what still runs, as it stops everything.
  const byEngine = orphaned || (interrupted && isKill(code, stopSignal))
  if (byEngine && killedBy === null) return UNKNOWN_END
  // Its last output went into a pipe that nobody held, and is gone: an exit code alone is no result.
  const unheard = killedBy === null && facts.outages.some((outage) => endedIn(outage, facts))
  return { code, oomKilled, killedBy, ...(unheard ? { unheard } : {}) }
}

function livedIn({ fromMs, toMs }: Outage, { startedAt, finishedAt }: EndFacts): boolean {
  return Date.parse(startedAt) < toMs && Date.parse(finishedAt) > fromMs - NOTICED_WITHIN_MS
}

function endedIn(outage: Outage, facts: EndFacts): boolean {
  return livedIn(outage, facts) && Date.parse(facts.finishedAt) < outage.toMs
}
