// Independent eyes: what each engine runs and what each process weighs, once a second, asked of the engines and the
// kernel and not of the system under test.

import { readdirSync, readFileSync } from 'node:fs'
import type { History } from './history.ts'
import { pause } from './load.ts'
import { containersOn } from './stage-engines.ts'
import type { Stage } from './stage.ts'

const EVERY_MS = 1_000
const PAGE_BYTES = 4_096

export async function watchContainers(stage: Stage, history: History, over: AbortSignal): Promise<void> {
  await Promise.all(
    stage.agents.map(async ({ part, engine }) => {
      while (!over.aborted) {
        const kept = await containersOn(engine.socketPath)
        const containers = kept?.filter(({ state }) => state === 'running')
        if (containers) history.note({ op: 'running', engine: part.name, containers })
        await pause(EVERY_MS, over)
      }
    }),
  )
}

/** By either control plane, whichever answers. */
export async function watchFleet(stage: Stage, history: History, over: AbortSignal): Promise<void> {
  for (let turn = 0; !over.aborted; turn += 1) {
    const client = turn % 2 === 0 ? stage.admin : stage.otherAdmin
    try {
      const { items } = await client.agents({ signal: AbortSignal.any([over, AbortSignal.timeout(2_000)]) })
      const seen = items.flatMap(({ name, last_seen_at: at }) => (at === undefined ? [] : [[name, Date.parse(at)]]))
      history.note({ op: 'fleet', lastSeenMs: Object.fromEntries(seen) as Record<string, number> })
    } catch {
      // Killed, cut off or stopped: the other one is asked next.
    }
    await pause(EVERY_MS / 4, over)
  }
}

export async function watchProcesses(stage: Stage, history: History, over: AbortSignal): Promise<void> {
  while (!over.aborted) {
    const ofEach = (measure: (pid: number) => number | null): Record<string, number> =>
      Object.fromEntries(
        stage.parts.flatMap(({ name, pid }) => {
          const held = pid === undefined ? null : measure(pid)
          return held === null ? [] : [[name, held]]
        }),
      )
    history.note({ op: 'rss', mb: ofEach(residentMb), fds: ofEach(openFiles) })
    await pause(EVERY_MS, over)
  }
}

function residentMb(pid: number): number | null {
  const pages = unlessEnded(() => Number(readFileSync(`/proc/${pid}/statm`, 'utf8').split(' ')[1]))
  return pages === null ? null : Math.round((pages * PAGE_BYTES) / 2 ** 20)
}

function openFiles(pid: number): number | null {
  return unlessEnded(() => readdirSync(`/proc/${pid}/fd`).length)
}

function unlessEnded(read: () => number): number | null {
  try {
    return read()
  } catch {
    // It ended in this moment.
    return null
  }
}
