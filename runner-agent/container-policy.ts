// The operator's settings as the policy that containers are planned by.
import type { ContainerPolicy } from '../shared/container-options.ts'
import type { Machine } from './capacity.ts'
import type { AgentConfig } from './config.ts'

export function containerPolicy(config: AgentConfig, machine: Machine): ContainerPolicy {
  return {
    defaults: machine.capacity.defaults,
    hideGpus: machine.gpusByEnvironment,
    image: config.image,
    command: config.command,
    maxOpenFiles: config.maxOpenFiles,
    internetNetwork: config.internetNetwork,
    settings: config.settings,
    gpuSettings: gpuSettings(config.gpuMemoryBytes),
  }
}

/**
 * DOCKER_GPU_MEMORY_LIMIT as a hint to PyTorch, as the original system gives it: it shapes the allocator and limits
 * nothing. The limit itself only counts when jobs are placed; Docker has no such limit.
 */
function gpuSettings(limitBytes: number | null): Record<string, string> {
  if (limitBytes === null) return {}
  return { PYTORCH_CUDA_ALLOC_CONF: `max_split_size_mb:${Math.max(21, Math.floor(limitBytes / 2 ** 20))}` }
}
