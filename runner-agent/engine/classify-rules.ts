// The engine's words and what they mean to a person. The engine has no error codes, so its words are matched: every
// pattern was seen on a real engine (20.10 to 26.1) or stands in its source.

import type { EngineErrorCode, EngineErrorKind, EngineFailure } from './engine-error.ts'

export type Rule = {
  /** Only for actions that begin so; the words of a registry and of a shell are alike. */
  during?: string
  pattern: RegExp
  kind: EngineErrorKind
  code: EngineErrorCode
  say: (failure: EngineFailure, words: string) => string
  hint: string
  transient?: boolean
  exitCode?: number
}

/** Order matters: the first match speaks. */
export const RULES: readonly Rule[] = [
  {
    pattern: /no space left on device|disk quota exceeded/i,
    kind: 'disk_full',
    code: 'disk_full',
    say: (failure) => `Cannot ${failure.action} "${failure.subject}": the disk of this machine is full.`,
    hint: 'Free space where Docker keeps its data ("docker system df" shows what uses it), or run the job elsewhere.',
  },
  {
    pattern: /no such image/i,
    kind: 'image_missing',
    code: 'image_not_found',
    say: (failure) => `Image "${failure.subject}" is not on this machine.`,
    hint: 'Check the name and the tag, or let the job pull it (pull: "missing").',
  },
  {
    pattern: /invalid reference format|invalid tag format/i,
    kind: 'image_name',
    code: 'image_not_found',
    say: (failure, words) => `"${failure.subject}" is not the name of an image: ${words}.`,
    hint: 'Write it as registry/name:tag or name@sha256:…, in lower case.',
  },
  {
    during: 'pull',
    pattern: /manifest (for .* )?(not found|unknown)|manifest unknown|name unknown|repository .* not found/i,
    kind: 'image_missing',
    code: 'image_not_found',
    say: (failure) => `Image "${failure.subject}" does not exist in its registry.`,
    hint: 'Check the name and the tag.',
  },
  {
    during: 'pull',
    pattern: /no matching manifest for/i,
    kind: 'pull_failed',
    code: 'image_not_found',
    say: (failure, words) => `Image "${failure.subject}" is not built for this kind of machine: ${words}.`,
    hint: 'Build the image for this architecture, or choose agents of the right one by agent_labels.',
  },
  {
    during: 'pull',
    pattern: /pull access denied|unauthorized|authentication required|denied: |no basic auth credentials/i,
    kind: 'pull_denied',
    code: 'image_pull_failed',
    say: (failure) => `The registry refused to give image "${failure.subject}": it does not exist or needs a login.`,
    hint: 'Check the name; for a private image, run "docker login" there as the user of the agent.',
  },
  {
    pattern: /network .+ not found|could not find a network matching/i,
    kind: 'network_missing',
    code: 'start_failed',
    say: (_, words) => `The network of the container is not on this machine: ${words}.`,
    hint: 'Restart the agent on that machine: it makes its networks when it starts.',
    transient: true,
  },
  {
    pattern: /could not select device driver|unknown runtime specified nvidia|unresolvable CDI devices/i,
    kind: 'gpu_driver_missing',
    code: 'start_failed',
    say: () => 'The Docker engine of this machine cannot give GPUs to containers.',
    hint: 'Install the NVIDIA Container Toolkit there and restart Docker; "dray doctor" shows when it is right.',
  },
  {
    pattern: /nvidia-container|nvidia-ctk|libcuda|libnvidia|unknown device/i,
    kind: 'gpu_failed',
    code: 'start_failed',
    say: (_, words) => `The GPUs could not be given to the container: ${words}.`,
    hint: 'Compare DOCKER_GPU_DEVICES on that machine with what "nvidia-smi -L" lists.',
  },
  {
    pattern: /unable to find (user|group)|no matching entries in (passwd|group)|non-numeric user|invalid user/i,
    kind: 'user_unknown',
    code: 'start_failed',
    say: (_, words) => `The image does not know the user that the job asks for: ${words}.`,
    hint: 'Give "user" as numbers (uid:gid), or as a name that is in the image.',
  },
  {
    pattern: /cannot mkdir|chdir to cwd|working directory|mkdir .*: (not a directory|read-only file system)/i,
    kind: 'workdir',
    code: 'start_failed',
    say: (_, words) => `The working directory cannot be used: ${words}.`,
    hint: 'Give "workdir" as an absolute path of a directory that the job may use.',
  },
  {
    pattern: /no command specified/i,
    kind: 'no_command',
    code: 'start_failed',
    say: (failure) => `Image "${failure.subject}" has no command of its own and the job gives none.`,
    hint: 'Set "command".',
  },
  {
    pattern:
      /invalid mount config|source path does not exist|error while (creating|mounting)|no such volume|error mounting/i,
    kind: 'mount',
    code: 'start_failed',
    say: (_, words) => `A volume of the job cannot be mounted: ${words}.`,
    hint: 'Check the names and the targets under "volumes" and "resources.tmpfs".',
  },
  {
    pattern: /apparmor|seccomp|selinux/i,
    kind: 'profile_missing',
    code: 'start_failed',
    say: (_, words) => `The security profile of the container cannot be applied: ${words}.`,
    hint: 'Reload the profile on that machine (docker-default comes with the engine) and restart Docker.',
  },
  {
    pattern: /executable file not found|exec: .*no such file or directory|stat .*: no such file or directory/i,
    kind: 'command_missing',
    code: 'start_failed',
    say: (_, words) => `The command is not in the image: ${words}.`,
    hint: 'Check "command" and "entrypoint"; no shell interprets them.',
    exitCode: 127,
  },
  {
    pattern: /exec: .*(permission denied|is a directory)|exec format error/i,
    kind: 'command_not_executable',
    code: 'start_failed',
    say: (_, words) => `The command cannot be run: ${words}.`,
    hint: 'It must be an executable file, built for the architecture of the machine.',
    exitCode: 126,
  },
  {
    pattern: /minimum memory limit|memory limit .*too (small|low)|container init was OOM-killed/i,
    kind: 'memory_too_small',
    code: 'start_failed',
    say: (_, words) => `The memory limit of the job is too small to start a container: ${words}.`,
    hint: 'Raise "resources.memory"; Docker needs at least 6 MB.',
  },
  {
    pattern: /range of CPUs/i,
    kind: 'cpus_too_many',
    code: 'start_failed',
    say: (_, words) => `The job asks for more processors than this machine has: ${words}.`,
    hint: 'Lower "resources.cpus".',
  },
  {
    pattern: /storage-opt|storage opt|pquota/i,
    kind: 'disk_limit_unsupported',
    code: 'start_failed',
    say: () => 'This machine cannot limit the disk of a container.',
    hint: 'Leave "resources.disk" out, or keep Docker\'s data on xfs mounted with pquota.',
  },
  {
    pattern: /removal of container .* is already in progress|marked for removal/i,
    kind: 'being_removed',
    code: 'engine_lost',
    say: (failure) => `Container "${failure.subject}" is being removed.`,
    hint: 'Nothing needs to be done.',
    transient: true,
  },
  {
    // The engine or its containerd died in the middle of this start: what had begun may have run, so it is not repeated.
    during: 'start',
    pattern: /task \S+ already exists|id already in use|code = Unavailable|ttrpc: closed|transport is closing/i,
    kind: 'engine_fault',
    code: 'engine_lost',
    say: (failure) => `The engine was restarted while it started container "${failure.subject}".`,
    hint: 'List "engine_lost" in the retries of jobs that may run again.',
  },
  {
    pattern: /is already in use by container/i,
    kind: 'name_in_use',
    code: 'internal',
    say: (failure) => `A container named "${failure.subject}" exists already on this machine.`,
    hint: 'Look at it with "docker inspect"; if it is not wanted, remove it.',
  },
  {
    pattern: /stop the container before (attempting removal|removing)/i,
    kind: 'running',
    code: 'internal',
    say: (failure) => `Container "${failure.subject}" runs and is not removed.`,
    hint: 'Nothing needs to be done.',
  },
  {
    pattern: /container .* is not running/i,
    kind: 'not_running',
    code: 'internal',
    say: (failure) => `Container "${failure.subject}" is not running.`,
    hint: 'Nothing needs to be done.',
  },
  {
    pattern: /no such container/i,
    kind: 'container_missing',
    code: 'engine_lost',
    say: (failure) => `Container "${failure.subject}" is gone: somebody removed it.`,
    hint: "Leave the containers that carry Dray's labels to the agent.",
  },
  {
    pattern: /logging driver does not support reading/i,
    kind: 'log_unreadable',
    code: 'internal',
    say: (failure) => `Docker keeps no readable log of container "${failure.subject}".`,
    hint: 'Containers must be created with the "local" or the "json-file" log driver.',
  },
]
