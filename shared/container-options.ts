// Portable: Web APIs only.
//
// From a grant to what Docker is asked to create: pure, so that every limit can be read and tested in one place. A
// container is locked down by default (facts: capabilities, privileges, pids, memory without swap, no core dumps) and
// never gets a bind mount, a device that it was not leased, or a namespace of the host.
import type { Grant } from './agent-protocol.ts'
import { containerEnv } from './container-env.ts'
import { containerName, LABEL } from './container-identity.ts'
import { effectiveLimits, type EffectiveLimits, type JobSpec, type ResourceDefaults } from './job-spec.ts'
import type { AttemptKey } from './subjects.ts'

/** The part of Docker's create body that we use, in its own words. */
export interface ContainerOptions {
  readonly Image: string
  readonly Labels: Record<string, string>
  readonly Env: string[]
  readonly OpenStdin: boolean
  readonly StdinOnce: boolean
  readonly AttachStdin: boolean
  readonly AttachStdout: boolean
  readonly AttachStderr: boolean
  readonly Tty: boolean
  readonly Cmd?: string[]
  readonly Entrypoint?: string[]
  readonly WorkingDir?: string
  readonly User?: string
  readonly StopSignal?: string
  readonly StopTimeout: number
  readonly HostConfig: HostOptions
}

export interface HostOptions {
  readonly Init: boolean
  readonly AutoRemove: boolean
  readonly CapDrop: string[]
  readonly SecurityOpt: string[]
  readonly PidsLimit: number
  readonly Memory: number
  readonly MemorySwap: number
  readonly NanoCpus: number
  readonly ShmSize: number
  readonly OomScoreAdj: number
  readonly IpcMode: string
  readonly NetworkMode: string
  readonly ReadonlyRootfs: boolean
  readonly Tmpfs: Record<string, string>
  readonly Ulimits: { Name: string; Soft: number; Hard: number }[]
  readonly LogConfig: { Type: string; Config: Record<string, string> }
  readonly DeviceRequests?: { Driver: string; DeviceIDs: string[]; Capabilities: string[][] }[]
}

/** What the machine's owner decides for all jobs. */
export interface ContainerPolicy {
  readonly defaults: ResourceDefaults
  readonly image: string
  /** Run for a job with `request` and no command of its own. */
  readonly command: readonly string[]
  /** What the engine may grant: a container that asks for more files than its engine has does not start. */
  readonly maxOpenFiles: number
  /** Docker's network for `network: "internet"`. */
  readonly internetNetwork: string
  readonly settings: Readonly<Record<string, string>>
  /** Say "none" to an engine that would give GPUs to a container whose image asks for them. */
  readonly hideGpus: boolean
  /** Settings for jobs that lease GPUs. */
  readonly gpuSettings: Readonly<Record<string, string>>
}

export interface ContainerOrigin {
  readonly agentId: string
  readonly bootId: string
  readonly key: AttemptKey
  /** What the image's name stands for on this machine. */
  readonly imageId: string
  /** How many updates the attempt has said before it: where a process that reads it anew begins to count. */
  readonly updates: number
}

export interface ContainerPlan {
  readonly name: string
  readonly options: ContainerOptions
  readonly limits: EffectiveLimits
}

/** An output line counts at least this much against the output cap, however short it is (see logMaxBytes). */
export const LINE_COST_BYTES = 16

/**
 * Docker's log must hold whatever the output cap lets through, or a recovery would lose lines without a word. An entry
 * costs about 64 bytes beside its text, and one line is one entry at least, so with the line cost above the log is at
 * most five times the cap. A limit, not a reservation: usual output takes its own size.
 */
export function logMaxBytes(outputBytes: number): number {
  return 6 * outputBytes + 2 ** 20
}

export function planContainer(grant: Grant, policy: ContainerPolicy, origin: ContainerOrigin): ContainerPlan {
  const { spec } = grant
  const limits = effectiveLimits(spec, policy.defaults)
  const command = spec.command ?? (spec.request ? [...policy.command] : undefined)
  const options: ContainerOptions = {
    Image: origin.imageId,
    Labels: labelsOf(grant, policy, origin),
    Env: envOf(grant, policy),
    // StdinOnce: else neither our half-close nor our death would give the container its end of input.
    OpenStdin: true,
    StdinOnce: true,
    AttachStdin: true,
    AttachStdout: true,
    AttachStderr: true,
    // A terminal would end the output at our half-close and carry no frames.
    Tty: false,
    ...(command ? { Cmd: command } : {}),
    ...(spec.entrypoint ? { Entrypoint: spec.entrypoint } : {}),
    ...(spec.workdir === undefined ? {} : { WorkingDir: spec.workdir }),
    ...(spec.user === undefined ? {} : { User: spec.user }),
    ...(spec.stop_signal === undefined ? {} : { StopSignal: spec.stop_signal }),
    StopTimeout: Math.ceil(spec.stop_grace_seconds),
    HostConfig: hostOptions(grant, policy, limits),
  }
  return { name: containerName(origin.key), options, limits }
}

function envOf(grant: Grant, policy: ContainerPolicy): string[] {
  const { spec, secrets, gpus } = grant
  const settings = gpus.length > 0 ? { ...policy.gpuSettings, ...policy.settings } : policy.settings
  const env = containerEnv({ spec, granted: grant.env, secrets, settings })
  // With leased ones the engine sets it to their ids.
  return policy.hideGpus && gpus.length === 0 ? [...env, 'NVIDIA_VISIBLE_DEVICES=void'] : env
}

/** The image that a job runs in: its own, else the agent's. */
export function imageOf(spec: Pick<JobSpec, 'image'>, policy: Pick<ContainerPolicy, 'image'>): string {
  return spec.image ?? policy.image
}

function hostOptions(grant: Grant, policy: ContainerPolicy, limits: EffectiveLimits): HostOptions {
  const { spec, gpus } = grant
  return {
    // As process 1 a program ignores SIGTERM unless it says otherwise; init passes it on to an ordinary process.
    Init: true,
    // A container stays until its updates are stored: its log is the spool.
    AutoRemove: false,
    CapDrop: ['ALL'],
    SecurityOpt: ['no-new-privileges'],
    PidsLimit: limits.pids,
    Memory: limits.memory,
    // Memory and swap together: the same number means no swap.
    MemorySwap: limits.memory,
    NanoCpus: Math.round(limits.cpus * 1e9),
    ShmSize: limits.shm,
    // Under pressure the kernel takes a job before the agent or the engine.
    OomScoreAdj: 500,
    IpcMode: 'private',
    NetworkMode: spec.network === 'none' ? 'none' : policy.internetNetwork,
    ReadonlyRootfs: spec.read_only,
    Tmpfs: tmpfsOf(spec),
    Ulimits: ulimitsOf(limits, policy.maxOpenFiles),
    LogConfig: {
      // Byte-true, and in one file: json-file rewrites invalid bytes, a rotated log loses its beginning.
      Type: 'local',
      Config: { 'max-file': '1', compress: 'false', 'max-size': String(logMaxBytes(grant.limits.output_bytes)) },
    },
    ...(gpus.length === 0
      ? {}
      : {
          DeviceRequests: [{ Driver: 'nvidia', DeviceIDs: [...gpus], Capabilities: [['gpu', 'compute', 'utility']] }],
        }),
  }
}

const TMPFS_FLAGS = 'rw,nosuid,nodev'
const READ_ONLY_TMPFS = { '/tmp': 256 * 2 ** 20 }

function tmpfsOf(spec: JobSpec): Record<string, string> {
  const wanted = spec.resources.tmpfs ?? (spec.read_only ? READ_ONLY_TMPFS : {})
  return Object.fromEntries(
    Object.entries(wanted).map(([path, sizeBytes]) => [path, `${TMPFS_FLAGS},size=${sizeBytes}`]),
  )
}

const OPEN_FILES = 65_536

function ulimitsOf(limits: EffectiveLimits, maxOpenFiles: number): HostOptions['Ulimits'] {
  const same = (Name: string, value: number) => ({ Name, Soft: value, Hard: value })
  return [
    same('core', 0),
    same('nofile', Math.min(limits.openFiles ?? OPEN_FILES, maxOpenFiles)),
    ...(limits.fileSizeBytes === null ? [] : [same('fsize', limits.fileSizeBytes)]),
  ]
}

function labelsOf(grant: Grant, policy: ContainerPolicy, origin: ContainerOrigin): Record<string, string> {
  return {
    [LABEL.agent]: origin.agentId,
    [LABEL.boot]: origin.bootId,
    [LABEL.tenant]: origin.key.tenant,
    [LABEL.job]: origin.key.job,
    [LABEL.attempt]: String(origin.key.attempt),
    [LABEL.image]: imageOf(grant.spec, policy),
    // A process that finds the container while the control plane is away has to know how long it may live.
    [LABEL.lostAfter]: String(grant.lost_after_seconds),
    [LABEL.updates]: String(origin.updates),
    // Names only: on adoption their values are read back from the container, so that they can be redacted.
    [LABEL.secrets]: Object.keys(grant.secrets).toSorted().join(','),
  }
}
