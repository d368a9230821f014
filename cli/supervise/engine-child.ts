// The Docker engine of a stack: the machine's own when one answers, which is left alone, else one of ours, which is
// started again when it dies and stopped with the stack.

import { provideEngine, type Engine } from '../../deploy/engine.ts'
import { pause } from '../../shared/client/pause.ts'
import type { ChildEvents } from './child.ts'
import { isRunning, markOf } from './running.ts'
import type { StackPlan } from './stack-plan.ts'

export interface SupervisedEngine {
  readonly name: 'engine'
  readonly socketPath: string
  /** How containers of ours reach the outside; undefined for the machine's own engine. */
  readonly network: Engine['network'] | undefined
  stop(): Promise<void>
}

const checkMs = 500

export async function superviseEngine(plan: StackPlan, events: ChildEvents): Promise<SupervisedEngine> {
  const options = { stateDir: plan.folder.dir, env: { ...plan.env } }
  const provided = await provideEngine(options)
  const { socketPath } = provided
  if (!provided.engine) return { name: 'engine', socketPath, network: undefined, stop: () => Promise.resolve() }

  let engine = provided.engine
  events.onPid('engine', engine.pid)
  const stopping = new AbortController()
  const watch = async (): Promise<void> => {
    for (let mark = markOf(engine.pid); !stopping.signal.aborted;) {
      await pause(checkMs, stopping.signal)
      if (isRunning(mark)) continue
      events.onNotice('engine ended; starting it again')
      engine = (await provideEngine(options)).engine ?? engine
      mark = markOf(engine.pid)
      events.onPid('engine', engine.pid)
    }
  }
  const watching = watch().catch((error: unknown) => {
    if (!stopping.signal.aborted) events.onNotice(`engine cannot be started again: ${(error as Error).message}`)
  })
  return {
    name: 'engine',
    socketPath,
    network: engine.network,
    async stop() {
      stopping.abort(new Error('stopping'))
      await watching
      await engine.stop()
      events.onPid('engine', undefined)
    },
  }
}
