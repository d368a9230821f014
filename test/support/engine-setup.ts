// Starts a real Docker engine for a test run, with both images in it, and ends it afterwards.
//
// The engine lives in a network namespace of its own, so it neither touches the machine's network nor meets an engine
// that runs already. vitest asks for it once for each project; those that ask for the same engine share it. Containers
// that tests left behind are removed and make the run fail.

import type { TestProject } from 'vitest/node'
import { removeContainers } from '../../deploy/engine-api.ts'
import { startEngine } from '../../deploy/engine.ts'
import { ensureImages } from '../../deploy/image.ts'
import { defaultStateDir, findNatsServer } from '../../deploy/tools.ts'
import { claimFolder } from './claim-folder.ts'

// What tests take with `inject('engineSocket')` and so on.
declare module 'vitest' {
  interface ProvidedContext {
    /** Unix socket of a real Docker engine that this test run owns. */
    engineSocket: string
    /** dockerd's process id: `/proc/<pid>/ns/net` is the engine's network namespace. */
    enginePid: number
    /** For tests that start an engine of their own: the folder of its programs, or "" for the machine's. */
    engineRoot: string
    natsServerPath: string
    workflowImage: string
    busyboxImage: string
  }
}

interface SharedEngine {
  users: number
  parts: ReturnType<typeof startParts>
}

const shared = globalThis as { drayTestEngines?: Map<string, SharedEngine> }

/** Of the machine's own engine, or of the one below `root`. */
export async function giveEngine(project: TestProject, root = ''): Promise<() => Promise<void>> {
  const engines = (shared.drayTestEngines ??= new Map())
  const engine: SharedEngine = engines.get(root) ?? { users: 0, parts: startParts(root) }
  engines.set(root, engine)
  engine.users += 1
  const parts = await engine.parts
  project.provide('engineSocket', parts.engine.socketPath)
  project.provide('enginePid', parts.engine.pid)
  project.provide('engineRoot', root)
  project.provide('natsServerPath', parts.natsServerPath)
  project.provide('workflowImage', parts.images.workflow.image)
  project.provide('busyboxImage', parts.images.busybox.image)
  return async () => {
    engine.users -= 1
    if (engine.users === 0) await stopParts(parts)
  }
}

async function startParts(root: string) {
  const natsServerPath = await findNatsServer()
  const folder = claimFolder(defaultStateDir(), root === '' ? 'test' : 'test-newer')
  const engine = await startEngine({ stateDir: folder.path, network: 'isolated', root: root || undefined })
  // A run that was killed may have left containers; they are not this run's fault.
  await removeContainers(engine.socketPath)
  const images = await ensureImages({ socketPath: engine.socketPath, stateDir: folder.path })
  return { natsServerPath, folder, engine, images }
}

async function stopParts({ engine, folder }: Awaited<ReturnType<typeof startParts>>): Promise<void> {
  const left = await removeContainers(engine.socketPath)
  await engine.stop()
  folder.release()
  if (left > 0) throw new Error(`Tests left ${left} container(s) behind`)
}
