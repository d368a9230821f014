// What kind of machine this is for somebody else's code: the versions below the containers, the walls the kernel puts
// around them, and in plain sentences what is weaker than it should be. The judge is pure. It reports and never refuses:
// which posture a job demands is the scheduler's business.

import { isAtLeast, parseVersion } from './component-version.ts'
import type { Engine, EngineInfo } from './engine-client.ts'

export type EnginePosture = {
  engine: string
  api: string
  runc: string
  cgroup: string
  storage: string
  kernel: string
  os: string
  arch: string
  seccomp: boolean
  apparmor: boolean
  userns: boolean
  rootless: boolean
  live_restore: boolean
  /** What is weaker than it should be; empty on a machine with nothing to say. */
  degraded: string[]
}

export const fetchPosture = async (engine: Engine, signal?: AbortSignal): Promise<EnginePosture> => {
  const [version, info] = await Promise.all([engine.version(signal), engine.info(signal)])
  return judgePosture(version, info)
}

export const judgePosture = (version: EngineInfo, info: EngineInfo): EnginePosture => {
  const options = textsOf(info['SecurityOptions'])
  const has = (name: string): boolean => options.some((option) => option.split(',').includes(`name=${name}`))
  const facts = {
    engine: textOf(version['Version']),
    api: textOf(version['ApiVersion']),
    runc: runcVersion(version, info),
    cgroup: textOf(info['CgroupVersion']) || '1',
    storage: textOf(info['Driver']),
    kernel: textOf(info['KernelVersion']),
    os: textOf(info['OperatingSystem']),
    arch: textOf(info['Architecture']),
    seccomp: has('seccomp') && !options.some((option) => option.includes('profile=unconfined')),
    apparmor: has('apparmor') || has('selinux'),
    userns: has('userns'),
    rootless: has('rootless'),
    live_restore: info['LiveRestoreEnabled'] === true,
  }
  return { ...facts, degraded: CHECKS.filter((check) => check.isWeak(facts)).map((check) => check.sentence(facts)) }
}

type Facts = Omit<EnginePosture, 'degraded'>
type Check = { isWeak: (facts: Facts) => boolean; sentence: (facts: Facts) => string }

/** First fixed release of each maintained line; a line that is not named has no fix. */
const RUNC_ESCAPES_FIXED = ['1.2.8', '1.3.3', '1.4.0']
const RUNC_LEAKED_FD_FIXED = ['1.1.12']
// Debian 12 mended 1.1.5 in its first security update.
const RUNC_LEAKED_FD_BACKPORT = /^1\.1\.5\+.*deb12u[1-9]/
const ENGINE_DNS_FIXED = ['23.0.11', '25.0.5', '26.0.0']

const CHECKS: readonly Check[] = [
  {
    isWeak: ({ runc }) => !isAtLeast(runc, RUNC_LEAKED_FD_FIXED) && !RUNC_LEAKED_FD_BACKPORT.test(runc),
    sentence: ({ runc }) =>
      `runc ${runc || 'of unknown version'} may leak a host directory (CVE-2024-21626): use 1.1.12.`,
  },
  {
    isWeak: ({ runc, userns, rootless }) => !userns && !rootless && !isAtLeast(runc, RUNC_ESCAPES_FIXED),
    sentence: ({ runc }) =>
      `runc ${runc || 'of unknown version'} can be escaped by a hostile image (CVE-2025-31133, -52565, -52881): use 1.2.8, 1.3.3 or 1.4.0.`,
  },
  {
    isWeak: ({ engine }) => !isAtLeast(engine, ENGINE_DNS_FIXED),
    sentence: ({ engine }) =>
      `Docker ${engine} answers names from internal networks (CVE-2024-29018): use 25.0.5 or later.`,
  },
  { isWeak: ({ seccomp }) => !seccomp, sentence: () => 'Containers may make any system call: seccomp is off.' },
  {
    isWeak: ({ apparmor }) => !apparmor,
    sentence: () => 'Neither AppArmor nor SELinux confines the containers.',
  },
  {
    isWeak: ({ userns, rootless }) => !userns && !rootless,
    sentence: () => 'Root in a container is root of this machine: no user namespaces (userns-remap) and not rootless.',
  },
  {
    isWeak: ({ cgroup }) => cgroup !== '2',
    sentence: () =>
      'Memory limits are those of cgroup v1: an out-of-memory kill may hit one process instead of the job.',
  },
  {
    isWeak: ({ live_restore: liveRestore }) => !liveRestore,
    sentence: () => 'A restart of Docker ends the jobs: "live-restore" is off.',
  },
]

/** The distribution's own version where there is one: it tells of backported fixes. Some builds say a commit instead. */
const runcVersion = (version: EngineInfo, info: EngineInfo): string => {
  const components = Array.isArray(version['Components']) ? version['Components'].map(recordOf) : []
  const component = components.find((candidate) => candidate['Name'] === 'runc')
  const said = [textOf(recordOf(info['RuncCommit'])['ID']), textOf(component?.['Version'])]
  return said.find((candidate) => parseVersion(candidate) !== undefined) ?? ''
}

const recordOf = (value: unknown): Record<string, unknown> =>
  typeof value === 'object' && value !== null ? { ...value } : {}

const textOf = (value: unknown): string => (typeof value === 'string' ? value : '')

const textsOf = (value: unknown): string[] =>
  Array.isArray(value) ? value.filter((item) => typeof item === 'string') : []
