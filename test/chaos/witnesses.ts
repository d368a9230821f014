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
