// The Docker engine in the agent's words: each short call has a deadline, always settles, and fails with an EngineError.
// Repeating is safe: starting a started container, stopping a stopped one and removing a removed one succeed. Calls that
// last as long as a job (attach, wait, logs, pull) are in files of their own, over plain HTTP.

import type { Socket } from 'node:net'
import Docker from 'dockerode'
import { attach } from './attach.ts'
import { classifyFailure } from './classify.ts'
import { readLog, type LogLine, type LogRequest } from './docker-log.ts'
import { eventsPath, memoryOf, NO_MEMORY, type EngineMemory } from './engine-memory.ts'
import { EngineError, isEngineError, type EngineErrorKind } from './engine-error.ts'
import { lossOf, openResponse, readBody, type EngineCall } from './raw-http.ts'
import { waitForExit } from './wait.ts'

const ASK_TIMEOUT_MS = 10_000
const MAX_ANSWER_BYTES = 4 * 1024 * 1024

export type ContainerOptions = Omit<Docker.ContainerCreateOptions, 'name' | 'abortSignal'>
export type ContainerInspection = Docker.ContainerInspectInfo
export type ImageInspection = Docker.ImageInspectInfo
export type ContainerSummary = { id: string; name: string; labels: Record<string, string>; state: string }
export type EngineInfo = Record<string, unknown>

export type Engine = {
  readonly socketPath: string
  ping(signal?: AbortSignal): Promise<void>
  version(signal?: AbortSignal): Promise<EngineInfo>
  info(signal?: AbortSignal): Promise<EngineInfo>
  createContainer(name: string, options: ContainerOptions, signal?: AbortSignal): Promise<{ id: string }>
  startContainer(id: string, signal?: AbortSignal): Promise<void>
  inspectContainer(id: string, signal?: AbortSignal): Promise<ContainerInspection>
  /** What it has seen of it, as the process that it is now (engine-memory.ts); `id` in full. */
  recall(id: string, signal?: AbortSignal): Promise<EngineMemory>
  /** Sends the container's stop signal, waits for the grace, then kills; keep reading its output meanwhile. */
  stopContainer(id: string, graceSeconds: number, signal?: AbortSignal): Promise<void>
  killContainer(id: string, unixSignal?: string, signal?: AbortSignal): Promise<void>
  /** With its anonymous volumes, running or not. */
  removeContainer(id: string, signal?: AbortSignal): Promise<void>
  /** The same, but one that somebody has started since fails as `running` and goes on. */
  removeUnstarted(id: string, signal?: AbortSignal): Promise<void>
  /** Running and ended ones that carry every given label ("name" or "name=value"). */
  listContainers(labels: readonly string[], signal?: AbortSignal): Promise<ContainerSummary[]>
  inspectImage(image: string, signal?: AbortSignal): Promise<ImageInspection>
  /** Before the start: the socket of stdin and both outputs (attach.ts). */
  attach(id: string, signal: AbortSignal): Promise<Socket>
  /** After the start: asked once, settles always (wait.ts). */
  waitForExit(id: string, signal: AbortSignal): Promise<{ exitCode: number }>
  readLog(request: Omit<LogRequest, 'socketPath'>, onLine: (line: LogLine) => void | Promise<void>): Promise<void>
}

type Call<T> = {
  action: string
  subject: string
  timeoutMs: number
  signal?: AbortSignal | undefined
  run: (abortSignal: AbortSignal) => Promise<T>
}

export const createEngine = ({ socketPath }: { socketPath: string }): Engine => {
  const docker = new Docker({ socketPath })
  return {
    socketPath,
    ping: async (signal) => {
      await ask(socketPath, '/_ping', signal)
    },
    version: async (signal) => objectIn(await ask(socketPath, '/version', signal)),
    info: async (signal) => objectIn(await ask(socketPath, '/info', signal)),
    recall: async (id, signal) => {
      const { SystemTime: now } = objectIn(await ask(socketPath, '/info', signal))
      return typeof now === 'string' ? memoryOf(await ask(socketPath, eventsPath(now), signal), id) : NO_MEMORY
    },
    ...containerCalls(docker),
    attach: (id, signal) => attach({ socketPath, id, stdin: true, signal }),
    waitForExit: (id, signal) => waitForExit({ socketPath, id, signal }),
    readLog: (request, onLine) => readLog({ socketPath, ...request }, onLine),
    inspectImage: (image, signal) => {
      const call = { action: 'look at image', subject: image, timeoutMs: 15_000, signal }
      return settle({ ...call, run: (abortSignal) => docker.getImage(image).inspect(withSignal(abortSignal)) })
    },
  }
}

// dockerode takes an abort signal everywhere; its types know it in some places only.
const withSignal = (abortSignal: AbortSignal): object => ({ abortSignal })

const ask = async (socketPath: string, path: string, signal: AbortSignal | undefined): Promise<string> => {
  const bounded = AbortSignal.any([AbortSignal.timeout(ASK_TIMEOUT_MS), ...(signal === undefined ? [] : [signal])])
  const call: EngineCall = { socketPath, method: 'GET', path, action: 'ask', subject: 'Docker', signal: bounded }
  try {
    return await readBody(call, await openResponse(call), MAX_ANSWER_BYTES)
  } catch (error) {
    if (bounded.aborted && signal?.aborted !== true) throw lossOf({ ...call, signal }, silence())
    throw error
  }
}

const objectIn = (body: string): EngineInfo => JSON.parse(body) as EngineInfo

const silence = (): Error => Object.assign(new Error('no answer'), { code: 'ETIMEDOUT' })

type ContainerCalls = Pick<Engine, Extract<keyof Engine, `${string}Container${string}` | 'removeUnstarted'>>

const containerCalls = (docker: Docker): ContainerCalls => ({
  createContainer: async (name, options, signal) => {
    // dockerode puts every option into the URL as well, secrets included, unless query and body are given apart.
    const split = (abortSignal: AbortSignal): unknown => ({ _query: { name }, _body: options, abortSignal })
    const run = (abortSignal: AbortSignal): Promise<Docker.Container> =>
      docker.createContainer(split(abortSignal) as Docker.ContainerCreateOptions)
    const subject = options.Image ?? name
    const { id } = await settle({ action: 'create a container of', subject, timeoutMs: 60_000, signal, run })
    return { id }
  },
  startContainer: (id, signal) => {
    const call = { action: 'start container', subject: id, timeoutMs: 120_000, signal }
    return done({ ...call, run: (abortSignal) => docker.getContainer(id).start({ abortSignal }) })
  },
  inspectContainer: (id, signal) => {
    const call = { action: 'look at container', subject: id, timeoutMs: 15_000, signal }
    return settle({ ...call, run: (abortSignal) => docker.getContainer(id).inspect({ abortSignal }) })
  },
  stopContainer: (id, graceSeconds, signal) => {
    const call = { action: 'stop container', subject: id, timeoutMs: (graceSeconds + 30) * 1000, signal }
    return done({ ...call, run: (abortSignal) => docker.getContainer(id).stop({ t: graceSeconds, abortSignal }) })
  },
  killContainer: (id, unixSignal = 'SIGKILL', signal) => {
    const call = { action: 'kill container', subject: id, timeoutMs: 20_000, signal }
    const run = (abortSignal: AbortSignal): Promise<unknown> =>
      docker.getContainer(id).kill({ signal: unixSignal, abortSignal })
    return done({ ...call, run }, 'not_running')
  },
  removeContainer: (id, signal) => remove(docker, id, true, signal),
  removeUnstarted: (id, signal) => remove(docker, id, false, signal),
  listContainers: async (labels, signal) => {
    const call = { action: 'list the containers of', subject: 'Docker', timeoutMs: 15_000, signal }
    const run = (abortSignal: AbortSignal): Promise<Docker.ContainerInfo[]> =>
      docker.listContainers({ all: true, filters: { label: [...labels] }, abortSignal })
    return (await settle({ ...call, run })).map(summaryOf)
  },
})

const remove = (docker: Docker, id: string, force: boolean, signal: AbortSignal | undefined): Promise<void> => {
  const call = { action: 'remove container', subject: id, timeoutMs: 60_000, signal }
  const run = (abortSignal: AbortSignal): Promise<unknown> =>
    docker.getContainer(id).remove({ v: true, force, abortSignal })
  return done({ ...call, run }, 'container_missing', 'being_removed')
}

const summaryOf = (info: Docker.ContainerInfo): ContainerSummary => ({
  id: info.Id,
  name: (info.Names[0] ?? '').replace(/^\//, ''),
  labels: info.Labels ?? {},
  state: info.State,
})

/** A call that is also done when the engine says that it had been done before (304, or one of the kinds). */
const done = async (call: Call<unknown>, ...alsoDone: EngineErrorKind[]): Promise<void> => {
  try {
    await settle({ ...call, run: (abortSignal) => call.run(abortSignal).catch(acceptNotModified) })
  } catch (error) {
    if (alsoDone.length === 0 || !isEngineError(error, ...alsoDone)) throw error
  }
}

const acceptNotModified = (error: unknown): void => {
  if ((error as { statusCode?: number }).statusCode !== 304) throw error
}

/**
 * Runs one dockerode call so that it settles: dockerode itself waits for ever when the engine dies within its answer,
 * even if its abort signal fires afterwards, so the deadline is raced and not only passed on.
 */
const settle = async <T>(call: Call<T>): Promise<T> => {
  const deadline = new AbortController()
  const timer = setTimeout(() => deadline.abort(), call.timeoutMs)
  const abortSignal = AbortSignal.any([deadline.signal, ...(call.signal === undefined ? [] : [call.signal])])
  const aborted = Promise.withResolvers<never>()
  const onAbort = (): void => aborted.reject(abortSignal.reason)
  abortSignal.addEventListener('abort', onAbort, { once: true })
  try {
    abortSignal.throwIfAborted()
    return await Promise.race([call.run(abortSignal), aborted.promise])
  } catch (error) {
    if (deadline.signal.aborted) throw lossOf(call, silence())
    throw failureOf(call, error)
  } finally {
    clearTimeout(timer)
    abortSignal.removeEventListener('abort', onAbort)
  }
}

const failureOf = (call: Call<unknown>, error: unknown): unknown => {
  const { statusCode: status, json, message } = error as { statusCode?: number; json?: unknown; message?: string }
  if (status === undefined || call.signal?.aborted === true) return lossOf(call, error)
  const said = (json as { message?: unknown } | null | undefined)?.message
  const words = typeof said === 'string' ? said : (message ?? '')
  const { action, subject } = call
  return new EngineError(classifyFailure({ action, subject, status, message: words }), { cause: error })
}
