// The agent's port to Docker (engine/engine-client.ts) on a simulated machine. Calls take a moment, fail when the engine is
// away, wait out their time when it hangs, and fail with the engine's own sentences, so that the real classification reads
// them. What the engine did is done, whether or not its caller still lives to hear it.
import { classifyFailure } from '../../runner-agent/engine/classify.ts'
import type { ContainerInspection, ContainerOptions, Engine } from '../../runner-agent/engine/engine-client.ts'
import { EngineError, type EngineFailure } from '../../runner-agent/engine/engine-error.ts'
import type { EngineWorld } from './engine-world.ts'
import type { Machine, Script, SimContainer } from './machine.ts'
import { openSimSocket } from './sim-socket.ts'

export const fault = (failure: EngineFailure): EngineError => new EngineError(classifyFailure(failure))

interface Call<T> {
  readonly action: string
  readonly subject: string
  readonly timeoutMs: number
  readonly signal?: AbortSignal | undefined
  /** At the engine. `later` answers at another time. */
  readonly run: (answer: (value: T) => void) => void
}

export function createSimEngine(world: EngineWorld): Engine {
  const { machine } = world
  const call = <T>(given: Call<T>): Promise<T> => callEngine(world, given)
  const find = (id: string, action: string): SimContainer => {
    const found = machine.containers.get(id) ?? [...machine.containers.values()].find(({ name }) => name === id)
    if (!found) throw fault({ action, subject: id, status: 404, message: `No such container: ${id}` })
    return found
  }
  const simple = <T>(action: string, id: string, signal: AbortSignal | undefined, act: (found: SimContainer) => T) =>
    call<T>({ action, subject: id, timeoutMs: 20_000, signal, run: (answer) => answer(act(find(id, action))) })
  return {
    socketPath: '',
    ping: () => Promise.resolve(),
    version: () => Promise.resolve({}),
    info: () => Promise.resolve({}),
    createContainer: (name, options, signal) =>
      call({
        action: 'create a container of',
        subject: name,
        timeoutMs: 60_000,
        signal,
        run: (answer) => answer({ id: create(machine, name, options).id }),
      }),
    startContainer: (id, signal) =>
      call<void>({
        action: 'start container',
        subject: id,
        timeoutMs: 120_000,
        signal,
        run(answer) {
          const container = find(id, 'start container')
          const kills = machine.engineKills
          const start = (): void => {
            if (machine.containers.has(container.id) && machine.engineKills === kills) machine.start(container)
            answer()
          }
          world.loop.at(machine.engine, machine.slowStartMs * world.random.next(), start)
        },
      }),
    inspectContainer: (id, signal) => simple('look at container', id, signal, inspectionOf),
    recall: (id, signal) =>
      simple('ask about container', id, signal, ({ startedIn, endedIn }) => ({
        sawStart: startedIn === machine.engineLife,
        sawEnd: endedIn === machine.engineLife,
        sawOom: false,
      })),
    stopContainer: async (id, graceSeconds, signal) => {
      await simple('stop container', id, signal, (container) => {
        machine.kill(container, 'SIGTERM')
        world.loop.at(machine.engine, graceSeconds * 1000, () => machine.kill(container, 'SIGKILL'))
      })
      await waitForExit(world, id, find, signal)
    },
    killContainer: (id, name = 'SIGKILL', signal) =>
      simple('kill container', id, signal, (container) => machine.kill(container, name)),
    removeContainer: (id, signal) => call<void>(removal(machine, id, true, signal)),
    removeUnstarted: (id, signal) => call<void>(removal(machine, id, false, signal)),
    listContainers: (labels, signal) =>
      call({
        action: 'list the containers of',
        subject: 'Docker',
        timeoutMs: 15_000,
        signal,
        run: (answer) =>
          answer([...machine.containers.values()].filter((one) => hasLabels(one, labels)).map(summaryOf)),
      }),
    inspectImage: (image, signal) =>
      call({
        action: 'look at image',
        subject: image,
        timeoutMs: 15_000,
        signal,
        run: (answer) => answer({ Id: 'sha256:1', RepoDigests: [`${image}@sha256:2`] } as never),
      }),
    attach: (id, signal) => simple('attach to container', id, signal, (container) => openSimSocket(world, container)),
    waitForExit: (id, signal) => waitForExit(world, id, find, signal),
    readLog: (request, onLine) => readLog(world, request, onLine, find),
  }
}

/** Answers in the caller's own turn; a call that was aborted is over at once, though the engine goes on. */
export function callEngine<T>({ loop, random, machine }: EngineWorld, call: Call<T>): Promise<T> {
  const { action, subject, signal, timeoutMs } = call
  const from = loop.current
  const latencyMs = (): number => 0.2 + random.next() * 2
  return new Promise<T>((resolve, reject) => {
    const settle = (deliver: () => void): void => {
      machine.onEngineLoss.delete(onLoss)
      loop.at(from, latencyMs(), () => {
        signal?.removeEventListener('abort', onAbort)
        deliver()
      })
    }
    const away = (): void =>
      settle(() => reject(fault({ action, subject, errno: 'ECONNREFUSED', message: 'connect ECONNREFUSED' })))
    const onLoss = (): void =>
      settle(() => reject(fault({ action, subject, errno: 'ECONNRESET', message: 'socket hang up' })))
    const onAbort = (): void => reject(signal?.reason as Error)
    if (signal?.aborted) return onAbort()
    signal?.addEventListener('abort', onAbort, { once: true })
    if (machine.engineState === 'away') return away()
    machine.onEngineLoss.add(onLoss)
    const serve = (): void => {
      loop.at(machine.engine, latencyMs(), () => {
        if (!machine.onEngineLoss.has(onLoss)) return
        try {
          call.run((value) => settle(() => resolve(value)))
        } catch (error) {
          settle(() => reject(error))
        }
      })
    }
    if (machine.engineState !== 'hung') return serve()
    machine.hungCalls.push(serve)
    const silence = (): void => reject(fault({ action, subject, errno: 'ETIMEDOUT', message: 'no answer' }))
    loop.at(from, timeoutMs, silence)
  })
}

function removal(machine: Machine, id: string, force: boolean, signal: AbortSignal | undefined): Call<void> {
  const action = 'remove container'
  return {
    action,
    subject: id,
    timeoutMs: 60_000,
    signal,
    run(answer) {
      const found = machine.containers.get(id)
      const message = `cannot remove container "${id}": container is running: stop the container before removing`
      if (found?.status === 'running' && !force) throw fault({ action, subject: id, status: 409, message })
      if (found) machine.remove(found)
      answer()
    },
  }
}

function create(machine: Machine, name: string, options: ContainerOptions): SimContainer {
  if ([...machine.containers.values()].some((one) => one.name === name))
    throw fault({
      action: 'create a container of',
      subject: name,
      status: 409,
      message: `Conflict. The container name "/${name}" is already in use by container "x".`,
    })
  const script = (options.Env ?? []).find((entry) => entry.startsWith('SIM='))?.slice(4) ?? '{}'
  const gpus = options.HostConfig?.DeviceRequests?.[0]?.DeviceIDs ?? []
  return machine.create(name, options.Labels ?? {}, gpus, JSON.parse(script) as Script)
}

const NEVER = '0001-01-01T00:00:00Z'
const iso = (ms: number | null): string => (ms === null ? NEVER : new Date(ms).toISOString())

function inspectionOf(container: SimContainer): ContainerInspection {
  const { id, labels, status, exitCode, oomKilled } = container
  return {
    Id: id,
    Image: 'sha256:1',
    Config: { Labels: { ...labels } },
    State: {
      Status: status,
      Running: status === 'running',
      Dead: false,
      OOMKilled: oomKilled,
      ExitCode: exitCode,
      StartedAt: iso(container.startedAtMs),
      FinishedAt: iso(container.finishedAtMs),
    },
  } as unknown as ContainerInspection
}

function hasLabels({ labels }: SimContainer, wanted: readonly string[]): boolean {
  return wanted.every((want) => {
    const [name = '', value] = want.split('=')
    return value === undefined ? name in labels : labels[name] === value
  })
}

function summaryOf({ id, name, labels, status }: SimContainer) {
  return { id, name, labels: { ...labels }, state: status as string }
}

type Find = (id: string, action: string) => SimContainer

const AFTER_EXIT_MS = 10

function waitForExit(
  world: EngineWorld,
  id: string,
  find: Find,
  signal: AbortSignal | undefined,
): ReturnType<Engine['waitForExit']> {
  const action = 'wait for container'
  return callEngine(world, {
    action,
    subject: id,
    timeoutMs: 30_000,
    signal,
    run(answer) {
      const container = find(id, action)
      const tell = (): void => {
        container.watchers.delete(onNews)
        world.loop.at(world.machine.engine, AFTER_EXIT_MS, () => answer({ exitCode: container.exitCode }))
      }
      const onNews = (news: unknown): void => void (news === 'end' && tell())
      if (container.status === 'running') container.watchers.add(onNews)
      else tell()
    },
  })
}

type ReadLog = Engine['readLog']

/** One page of a log at a time; with `follow` it waits for the next line until the container has ended. */
async function readLog(
  world: EngineWorld,
  { id, stream, skipLines, follow, signal }: Parameters<ReadLog>[0],
  onLine: Parameters<ReadLog>[1],
  find: Find,
): Promise<void> {
  const action = 'read the log of container'
  let count = skipLines
  for (;;) {
    const from = count
    const page = await callEngine<{ lines: string[]; times: number[]; isOver: boolean }>(world, {
      action,
      subject: id,
      timeoutMs: 30_000,
      signal,
      run(answer) {
        const container = find(id, action)
        const tell = (): void => {
          container.watchers.delete(onNews)
          const entries = container.log[stream].slice(from)
          const isOver = container.status !== 'running' || !follow
          answer({ lines: entries.map(({ text }) => text), times: entries.map(({ atMs }) => atMs), isOver })
        }
        const onNews = (news: unknown): void => {
          if (news === 'end' || container.log[stream].length > from) tell()
        }
        if (follow && container.status === 'running' && container.log[stream].length <= from)
          container.watchers.add(onNews)
        else tell()
      },
    })
    for (const [index, text] of page.lines.entries()) {
      count += 1
      const line = { bytes: Buffer.from(text), eol: true, part: 1, continued: false, at: page.times[index] ?? 0, count }
      await onLine(line)
      signal?.throwIfAborted()
    }
    if (page.isOver) return
  }
}
