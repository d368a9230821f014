// Remembers when no engine was there, for the process after this one too: only that explains how some containers ended.
// Calls that fail because nobody is there begin an outage, the first one that is answered ends it. What happened while
// there was neither agent nor engine, nobody knows.
import { z } from 'zod'
import { isEngineError } from './engine-error.ts'
import type { Engine } from './engine-client.ts'

/** In milliseconds since 1970. Nobody read what a container printed then. */
export type Outage = { readonly fromMs: number; readonly toMs: number }

/** `toMs` null: it lasted when its process ended. */
const outagesSchema = z.array(z.object({ fromMs: z.number(), toMs: z.number().nullable() }))

export interface OutageMemory {
  /** The latest ones that are over, of this process and of those before it, the latest last. */
  readonly list: () => readonly Outage[]
  /** The same engine, listened to. */
  watch(engine: Engine): Engine
}

const KEPT = 16

/** `text` is what an earlier process kept; what nobody can read is nothing. `keep` must not throw. */
export function openOutageMemory(text: string | undefined, keep: (text: string) => void): OutageMemory {
  let known: readonly Outage[] = parse(text)
  let fromMs: number | undefined
  const save = (): void => {
    const open = fromMs === undefined ? [] : [{ fromMs, toMs: null }]
    keep(JSON.stringify([...known, ...open]))
  }
  const heard = (): void => {
    if (fromMs === undefined) return
    known = [...known, { fromMs, toMs: Date.now() }].slice(-KEPT)
    fromMs = undefined
    save()
  }
  const missed = (error: unknown): void => {
    if (fromMs !== undefined || !isEngineError(error, 'engine_away')) return
    fromMs = Date.now()
    save()
  }
  const listened = async <T>(call: Promise<T>): Promise<T> => {
    try {
      const answer = await call
      heard()
      return answer
    } catch (error) {
      missed(error)
      throw error
    }
  }
  return {
    list: () => known,
    watch: (engine) => ({
      ...engine,
      startContainer: (id, signal) => listened(engine.startContainer(id, signal)),
      inspectContainer: (id, signal) => listened(engine.inspectContainer(id, signal)),
      waitForExit: (id, signal) => listened(engine.waitForExit(id, signal)),
    }),
  }
}

function parse(text: string | undefined): Outage[] {
  if (text === undefined) return []
  try {
    return outagesSchema.parse(JSON.parse(text)).map(({ fromMs, toMs }) => ({ fromMs, toMs: toMs ?? Date.now() }))
  } catch {
    // Of another version, or damaged: then nobody knows of an outage.
    return []
  }
}
