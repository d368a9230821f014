// The whole stack on this machine: engine, nats-server, control plane, one agent; started in the order in which they
// need each other, supervised, ended in the reverse order. `up` keeps it, `demo` uses it for a minute.
//
// Everything lives in the state folder and listens on one address. Promises: `startStack` resolves when a job can be
// submitted and an agent waits for it, or rejects and has ended what it had begun; after `stop` nothing of it runs.

import { ensureWorkflowImage } from '../../deploy/image.ts'
import { createClient } from '../../shared/client/create-client.ts'
import { agentChild, controlPlaneChild, natsChild } from './children.ts'
import { superviseChild, type ChildEvents, type ChildSpec, type SupervisedChild } from './child.ts'
import { superviseEngine, type SupervisedEngine } from './engine-child.ts'
import { makePlan, type StackPlan } from './stack-plan.ts'
import { claimStateFolder } from './state-folder.ts'

export interface StackOptions {
  readonly stateDir: string
  /** 0: the last run's when it is free, else any. */
  readonly port: number
  /** Where it listens; 127.0.0.1 unless told. */
  readonly host: string
  readonly env: Readonly<Record<string, string | undefined>>
  /** Stops the start. */
  readonly signal: AbortSignal
  /** Stop at once instead of in good order. */
  readonly force: AbortSignal
  readonly onNotice: (text: string) => void
}

export interface Stack {
  readonly url: string
  readonly token: string
  readonly dir: string
  stop(): Promise<void>
}

type Part = SupervisedChild | SupervisedEngine

export async function startStack(options: StackOptions): Promise<Stack> {
  const folder = await claimStateFolder(options.stateDir)
  const parts: Part[] = []
  const stop = once(async () => {
    // The agent leaves first, so that the control plane hears its goodbye; the engine last, when nobody uses it.
    for (const name of ['agent', 'control-plane', 'nats', 'engine']) {
      await parts.find((part) => part.name === name)?.stop()
    }
    folder.release()
  })
  try {
    const plan = await makePlan(options, folder)
    const engineSocket = await startParts(plan, options, parts)
    folder.publish(plan.url, engineSocket)
    return { url: plan.url, token: plan.token, dir: folder.dir, stop }
  } catch (error) {
    await stop()
    throw error
  }
}

async function startParts(plan: StackPlan, options: StackOptions, parts: Part[]): Promise<string> {
  const events: ChildEvents = {
    onPid: (name, pid) => plan.folder.setChild(name, pid),
    onNotice: options.onNotice,
    force: options.force,
  }
  const start = async (spec: ChildSpec): Promise<void> => {
    parts.push(await superviseChild(spec, events, options.signal))
  }
  const engineReady = startEngineAndImage(plan, events, parts)
  const serversReady = (async () => {
    await start(await natsChild(plan))
    await start(controlPlaneChild(plan))
  })()
  // Both come to their end before an error is handed on: what began late must be known to `stop`.
  const [engine, servers] = await Promise.allSettled([engineReady, serversReady])
  if (engine.status === 'rejected') throw engine.reason
  if (servers.status === 'rejected') throw servers.reason
  options.signal.throwIfAborted()
  const client = createClient(plan)
  const join = await client.createJoinToken({ signal: options.signal })
  await start(agentChild(plan, { client, joinToken: join.token, ...engine.value }))
  return engine.value.socketPath
}

async function startEngineAndImage(plan: StackPlan, events: ChildEvents, parts: Part[]) {
  const engine = await superviseEngine(plan, events)
  parts.push(engine)
  const image = await ensureWorkflowImage({ socketPath: engine.socketPath, stateDir: plan.folder.dir })
  return { socketPath: engine.socketPath, network: engine.network, image: image.image }
}

function once(action: () => Promise<void>): () => Promise<void> {
  let result: Promise<void> | undefined
  return () => (result ??= action())
}
