// What this machine offers: CPUs and memory as the engine sees them, free disk where the images live, the leased-out
// kinds of GPU, and which images are here already (the scheduler prefers such a machine). Read at the start, and again
// in the background, because GPUs fall off the bus and images come and go.
import { statfs } from 'node:fs/promises'
import type { Capacity, Posture } from '../shared/agent-protocol.ts'
import type { AgentConfig } from './config.ts'
import type { Engine, EngineInfo } from './engine/engine-client.ts'
import { listGpus } from './engine/gpus.ts'
import { fetchPosture } from './engine/posture.ts'
import { openResponse, readBody, type EngineCall } from './engine/raw-http.ts'

export interface Machine {
  readonly capacity: Capacity
  readonly posture: Posture
  /** The engine hands GPUs to whatever container names them in its environment, its image's own included. */
  readonly gpusByEnvironment: boolean
  /** For the operator. */
  readonly warnings: readonly string[]
}

type CapacityConfig = Pick<AgentConfig, 'memoryBytes' | 'cpus' | 'gpuDevices' | 'gpuMemoryBytes'>

export async function readMachine(engine: Engine, config: CapacityConfig, signal: AbortSignal): Promise<Machine> {
  const [info, posture, listing, images] = await Promise.all([
    engine.info(signal),
    fetchPosture(engine, signal),
    listGpus({ setting: config.gpuDevices, signal }),
    listImages(engine, signal),
  ])
  const cpus = positive(info['NCPU'], 1)
  const memory = positive(info['MemTotal'], 2 ** 30)
  const disk = await freeBytes(info['DockerRootDir'])
  return {
    capacity: {
      cpus,
      memory,
      ...(disk === null ? {} : { disk }),
      gpus: listing.gpus.map((gpu) => ({ ...gpu, ...usableMemory(gpu.memory, config.gpuMemoryBytes) })),
      ...(typeof info['Architecture'] === 'string' ? { arch: info['Architecture'] } : {}),
      defaults: { memory: Math.min(config.memoryBytes, memory), cpus: Math.min(config.cpus, cpus) },
      images,
    },
    posture: { ...posture },
    gpusByEnvironment: hasNvidiaRuntime(info),
    warnings: listing.warnings,
  }
}

function hasNvidiaRuntime(info: EngineInfo): boolean {
  const runtimes = info['Runtimes']
  return (
    info['DefaultRuntime'] === 'nvidia' || (typeof runtimes === 'object' && runtimes !== null && 'nvidia' in runtimes)
  )
}

/** DOCKER_GPU_MEMORY_LIMIT: the scheduler counts with no more than this. The engine cannot enforce it. */
function usableMemory(memory: number | undefined, limit: number | null): { memory?: number } {
  if (limit === null) return memory === undefined ? {} : { memory }
  return { memory: Math.min(memory ?? limit, limit) }
}

const MAX_IMAGES = 1000
const MAX_NAME = 512
const MAX_LIST_BYTES = 16 * 1024 * 1024
const LIST_TIMEOUT_MS = 15_000

async function listImages(engine: Engine, signal: AbortSignal): Promise<string[]> {
  const call: EngineCall = {
    socketPath: engine.socketPath,
    method: 'GET',
    path: '/images/json',
    action: 'list the images of',
    subject: 'Docker',
    signal: AbortSignal.any([signal, AbortSignal.timeout(LIST_TIMEOUT_MS)]),
  }
  const images = JSON.parse(await readBody(call, await openResponse(call), MAX_LIST_BYTES)) as {
    RepoTags?: string[] | null
  }[]
  return images
    .flatMap(({ RepoTags }) => RepoTags ?? [])
    .filter((name) => name.length <= MAX_NAME && name !== '<none>:<none>')
    .slice(0, MAX_IMAGES)
}

/** Null where the engine's folder is not ours to see: a remote or a rootless engine. */
async function freeBytes(folder: unknown): Promise<number | null> {
  if (typeof folder !== 'string' || folder === '') return null
  try {
    const { bavail, bsize } = await statfs(folder)
    return bavail * bsize
  } catch {
    // Not on this file system: then disk is simply not reported.
    return null
  }
}

function positive(value: unknown, otherwise: number): number {
  return typeof value === 'number' && value > 0 ? value : otherwise
}
