// The engines of the stage: a real dockerd in a folder and network of its own, or one of plain processes. Each can be
// killed as a crash and started again on what it left.

import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { callEngine, engineAnswers, removeContainers } from '../../deploy/engine-api.ts'
import { startTimeOf, waitForExit } from '../../deploy/engine-process.ts'
import { startEngine } from '../../deploy/engine.ts'
import { ensureImages } from '../../deploy/image.ts'
import { eventually } from '../support/eventually.ts'
import type { RunningContainer } from './history.ts'
import type { Part } from './part.ts'
import type { MakePart } from './stage-parts.ts'

export interface StageEngine {
  readonly socketPath: string
  /** Of the engine's own process; a real one has none that we keep. */
  readonly part: Part | null
  readonly pid: number | undefined
  kill(): Promise<void>
  start(): Promise<void>
  close(): Promise<void>
}

export async function startRealEngine(name: string, dir: string): Promise<StageEngine> {
  const stateDir = join(dir, `${name}-engine`)
  const start = (): ReturnType<typeof startEngine> => startEngine({ stateDir, network: 'isolated' })
  let engine = await start()
  await ensureImages({ socketPath: engine.socketPath, stateDir })
  return {
    socketPath: engine.socketPath,
    part: null,
    get pid() {
      return engine.pid
    },
    async kill() {
      const { pid } = engine
      const startTime = startTimeOf(pid)
      if (startTime === undefined) return
      process.kill(pid, 'SIGKILL')
      await waitForExit(pid, startTime, 5_000)
    },
    async start() {
      engine = await start()
    },
    async close() {
      await removeContainers(engine.socketPath).catch(() => undefined)
      await engine.stop()
    },
  }
}

export async function startProcessEngine(name: string, dir: string, makePart: MakePart): Promise<StageEngine> {
  const stateDir = join(dir, `${name}-engine`)
  await mkdir(stateDir, { recursive: true })
  const part = makePart({
    name: `${name}-engine`,
    args: [join(import.meta.dirname, 'process-engine.ts'), stateDir],
    env: {},
  })
  const socketPath = join(stateDir, 'sock')
  const start = async (): Promise<void> => {
    part.up()
    await eventually(() => engineAnswers(socketPath), { deadlineMs: 10_000, what: `${part.name} answers` })
  }
  await start()
  return {
    socketPath,
    part,
    get pid() {
      return part.pid
    },
    kill: () => part.down('SIGKILL'),
    start,
    close: () => part.down('SIGKILL'),
  }
}

interface KeptContainer extends RunningContainer {
  /** In the engine's words: running, exited, created. */
  readonly state: string
}

/** What is there now, running or not; null when the engine does not say. */
export async function containersOn(socketPath: string): Promise<KeptContainer[] | null> {
  try {
    const { status, body } = await callEngine(socketPath, '/containers/json?all=1', { deadlineMs: 3_000 })
    if (status !== 200) return null
    const found = JSON.parse(body) as { Labels: Record<string, string>; State: string }[]
    return found.map(({ Labels, State }) => ({
      tenant: Labels['dray.tenant'] ?? '',
      job: Labels['dray.job'] ?? '',
      attempt: Number(Labels['dray.attempt']),
      state: State,
    }))
  } catch {
    // Killed or busy: nothing is known of this second.
    return null
  }
}
