// Independent eyes: what each engine runs and what each process weighs, once a second, asked of the engines and the
// kernel and not of the system under test.

import { readFileSync } from 'node:fs'
import type { History } from './history.ts'
import { pause } from './load.ts'
import { runningOn } from './stage-engines.ts'
import type { Stage } from './stage.ts'

const EVERY_MS = 1_000
const PAGE_BYTES = 4_096

export async function watchContainers(stage: Stage, history: History, over: AbortSignal): Promise<void> {
  await Promise.all(
    stage.agents.map(async ({ part, engine }) => {
      while (!over.aborted) {
        const containers = await runningOn(engine.socketPath)
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

export async function watchMemory(stage: Stage, history: History, over: AbortSignal): Promise<void> {
  while (!over.aborted) {
    const mb = Object.fromEntries(
      stage.parts.flatMap(({ name, pid }) => {
        const resident = pid === undefined ? null : residentMb(pid)
        return resident === null ? [] : [[name, resident]]
      }),
    )
    history.note({ op: 'rss', mb })
    await pause(EVERY_MS, over)
  }
}

function residentMb(pid: number): number | null {
  try {
    return Math.round((Number(readFileSync(`/proc/${pid}/statm`, 'utf8').split(' ')[1]) * PAGE_BYTES) / 2 ** 20)
  } catch {
    // It ended in this moment.
    return null
  }
}
