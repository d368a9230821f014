// The updates that the agent itself adds to a job's story: pulling, creating, running (PROTOCOL 4). They are numbered
// with the container's own, come before them, and say what a person who waits wants to know.
import type { UpdateBody } from '../shared/update-mapper.ts'
import type { PullProgress } from './engine/pull-progress.ts'

type OwnPhase = 'pulling' | 'creating' | 'running'

export function ownUpdate(jobId: string, phase: OwnPhase, more: Readonly<Record<string, unknown>> = {}): UpdateBody {
  const status = phase === 'running' ? 'running' : 'starting'
  return { type: 'job_update', job_id: jobId, status, phase, ...more, at: new Date().toISOString() }
}

export function pullingUpdate(jobId: string, image: string, progress: PullProgress | null): UpdateBody {
  const told = progress && {
    layers_done: progress.layersDone,
    layers: progress.layers,
    bytes_done: progress.doneBytes,
    bytes: progress.totalBytes,
  }
  return ownUpdate(jobId, 'pulling', {
    image,
    message: `Pulling image "${image}"`,
    ...(told ? { progress: told } : {}),
  })
}
