// The GPUs of this machine that jobs may use: what the operator named (DOCKER_GPU_DEVICES) met with what nvidia-smi
// sees. Pure parsing apart from the one call. A machine without the tool is no error: named devices are taken as named,
// without model and memory, and the engine has the last word when a container starts.

import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import type { Gpu } from '../../shared/agent-protocol.ts'

export type GpuChoice = { kind: 'none' } | { kind: 'all' } | { kind: 'named'; names: string[] }

export type GpuListing = {
  gpus: Gpu[]
  /** For the operator: what was named and not found, or why nothing could be listed. */
  warnings: string[]
}

/** The index is how people name a GPU, and may change at a reboot; the UUID is its id. */
export type SeenGpu = { index: string; gpu: Gpu }

const QUERY = ['--query-gpu=index,uuid,name,memory.total', '--format=csv,noheader,nounits']
const QUERY_TIMEOUT_MS = 5000
const MEBIBYTE = 1024 * 1024

/** DOCKER_GPU_DEVICES: empty is none, "all", or indexes and UUIDs separated by commas. */
export const parseGpuChoice = (setting: string | undefined): GpuChoice => {
  const names = [...new Set((setting ?? '').split(',').map((name) => name.trim()))].filter((name) => name !== '')
  if (names.length === 0) return { kind: 'none' }
  return names.some((name) => name.toLowerCase() === 'all') ? { kind: 'all' } : { kind: 'named', names }
}

export const listGpus = async (options: { setting: string | undefined; signal?: AbortSignal }): Promise<GpuListing> => {
  const choice = parseGpuChoice(options.setting)
  if (choice.kind === 'none') return { gpus: [], warnings: [] }
  const seen = await querySmi(options.signal)
  return chooseGpus(choice, seen)
}

/** `seen` is what nvidia-smi printed, or why it could not be asked. */
export const chooseGpus = (choice: GpuChoice, seen: { csv: string } | { failed: string }): GpuListing => {
  if (choice.kind === 'none') return { gpus: [], warnings: [] }
  if ('failed' in seen) {
    const gpus = choice.kind === 'named' ? choice.names.map((name) => ({ id: name })) : []
    const outcome = choice.kind === 'named' ? 'the devices are taken as they are named' : 'no GPU is offered'
    return { gpus, warnings: [`nvidia-smi cannot be asked (${seen.failed}): ${outcome}.`] }
  }
  const present = parseSmi(seen.csv)
  if (choice.kind === 'all') {
    return {
      gpus: present.map(({ gpu }) => gpu),
      warnings: present.length === 0 ? ['nvidia-smi lists no GPU: none is offered.'] : [],
    }
  }
  return chooseNamed(choice.names, present)
}

const chooseNamed = (names: readonly string[], present: readonly SeenGpu[]): GpuListing => {
  const gpus = new Map<string, Gpu>()
  const warnings: string[] = []
  for (const name of names) {
    const gpu = present.find((seen) => seen.gpu.id === name || seen.index === name)?.gpu ?? partOf(name)
    if (gpu === undefined)
      warnings.push(`GPU "${name}" of DOCKER_GPU_DEVICES is not in this machine: it is not offered.`)
    // An index and the UUID of the same device are one device, not two.
    else gpus.set(gpu.id, gpu)
  }
  return { gpus: [...gpus.values()], warnings }
}

/** Parts of a partitioned GPU are not in the query's answer; the engine knows them by their UUID. */
const partOf = (name: string): Gpu | undefined => (name.startsWith('MIG-') ? { id: name, uuid: name } : undefined)

/** Lines of "index, uuid, name, memory in MiB"; a field that the driver cannot tell is "[N/A]" or "[Not Supported]". */
export const parseSmi = (csv: string): SeenGpu[] =>
  csv
    .split('\n')
    .map((line) => line.split(', ').map((field) => field.trim()))
    .filter((fields) => fields.length >= 4 && /^GPU-[0-9a-fA-F-]+$/.test(fields[1] ?? ''))
    .map(([index = '', uuid = '', ...rest]) => {
      // A model's name may hold the separator itself; memory is always the last field.
      const memoryMiB = Number(rest.at(-1))
      const model = known(rest.slice(0, -1).join(', '))
      const memory = memoryMiB > 0 ? { memory: Math.round(memoryMiB * MEBIBYTE) } : {}
      return { index, gpu: { id: uuid, uuid, ...(model === undefined ? {} : { model }), ...memory } }
    })

const known = (field: string): string | undefined => (field === '' || field.startsWith('[') ? undefined : field)

const querySmi = async (signal: AbortSignal | undefined): Promise<{ csv: string } | { failed: string }> => {
  try {
    const options = { timeout: QUERY_TIMEOUT_MS, maxBuffer: MEBIBYTE, ...(signal === undefined ? {} : { signal }) }
    const { stdout } = await promisify(execFile)('nvidia-smi', QUERY, options)
    return { csv: stdout }
  } catch (error) {
    // No driver, no tool, a card that fell off the bus: each leaves a machine that still runs jobs without GPUs.
    signal?.throwIfAborted()
    return { failed: reasonOf(error) }
  }
}

const reasonOf = (error: unknown): string => {
  const { code, killed } = error as { code?: unknown; killed?: boolean }
  if (code === 'ENOENT') return 'it is not installed'
  if (killed === true) return `no answer within ${QUERY_TIMEOUT_MS / 1000} seconds`
  if (typeof code === 'number') return `exit code ${code}`
  return typeof code === 'string' ? code : 'unknown reason'
}
