import { describe, expect, test } from 'vitest'
import { isAtLeast, parseVersion } from '../../runner-agent/engine/component-version.ts'
import { chooseGpus, parseGpuChoice, parseSmi } from '../../runner-agent/engine/gpus.ts'
import { parseImageName } from '../../runner-agent/engine/image-name.ts'
import { judgePosture } from '../../runner-agent/engine/posture.ts'

const first = 'GPU-4cf8db2d-06c0-7d70-1a51-e59b25b2c16c'
const second = 'GPU-4404041a-04cf-1ccf-9e70-f139a9b1e23c'
const csv = `0, ${first}, NVIDIA H100 80GB HBM3, 81559\n1, ${second}, [N/A], [Not Supported]\n`
const h100 = { id: first, uuid: first, model: 'NVIDIA H100 80GB HBM3', memory: 81_559 * 1024 * 1024 }
const bare = { id: second, uuid: second }

describe('GPUs', () => {
  test('parseGpuChoice() reads the setting', () => {
    expect(parseGpuChoice(undefined)).toEqual({ kind: 'none' })
    expect(parseGpuChoice(' , ')).toEqual({ kind: 'none' })
    expect(parseGpuChoice('all')).toEqual({ kind: 'all' })
    expect(parseGpuChoice('0, 1,0')).toEqual({ kind: 'named', names: ['0', '1'] })
  })

  test('parseSmi() reads what the driver tells and leaves out what it does not', () => {
    expect(parseSmi(csv)).toEqual([
      { index: '0', gpu: h100 },
      { index: '1', gpu: bare },
    ])
    expect(parseSmi('No devices were found\n')).toEqual([])
  })

  test('chooseGpus() takes all, or those named by index or UUID, each once', () => {
    expect(chooseGpus({ kind: 'all' }, { csv })).toEqual({ gpus: [h100, bare], warnings: [] })
    expect(chooseGpus({ kind: 'named', names: ['1', second] }, { csv })).toEqual({ gpus: [bare], warnings: [] })
    expect(chooseGpus({ kind: 'none' }, { csv })).toEqual({ gpus: [], warnings: [] })
  })

  test('chooseGpus() leaves out what is not there and says so', () => {
    const got = chooseGpus({ kind: 'named', names: ['0', '9', 'MIG-1'] }, { csv })
    expect(got.gpus).toEqual([h100, { id: 'MIG-1', uuid: 'MIG-1' }])
    expect(got.warnings).toEqual([expect.stringContaining('"9"')])
  })

  test('chooseGpus() takes named ones as they are where nvidia-smi is missing', () => {
    const failed = { failed: 'it is not installed' }
    expect(chooseGpus({ kind: 'named', names: ['0', first] }, failed).gpus).toEqual([{ id: '0' }, { id: first }])
    expect(chooseGpus({ kind: 'all' }, failed).gpus).toEqual([])
  })
})

test.for([
  ['busybox', 'busybox', 'latest', 'https://index.docker.io/v1/'],
  ['nodetool/app:1.2', 'nodetool/app', '1.2', 'https://index.docker.io/v1/'],
  ['docker.io/library/app', 'docker.io/library/app', 'latest', 'https://index.docker.io/v1/'],
  ['ghcr.io/a/b:c', 'ghcr.io/a/b', 'c', 'ghcr.io'],
  ['localhost:5000/a', 'localhost:5000/a', 'latest', 'localhost:5000'],
  ['ghcr.io/a/b:c@sha256:00', 'ghcr.io/a/b', 'sha256:00', 'ghcr.io'],
] as const)('parseImageName() reads %s', ([image, repository, tag, registry]) => {
  expect(parseImageName(image)).toEqual({ repository, tag, registry })
})

describe('posture', () => {
  test('isAtLeast() compares with the fix of the same line, else with the newest', () => {
    const fixes = ['1.2.8', '1.3.3', '1.4.0']
    const isFixed = (version: string): boolean => isAtLeast(version, fixes)
    expect(['1.1.5+ds1', '1.2.7', '1.3.2', 'a1b2c3', ''].map(isFixed)).toEqual([false, false, false, false, false])
    expect(['1.2.8', '1.3.10', '1.4.0', '1.5.0', '2.0.0'].map(isFixed)).toEqual([true, true, true, true, true])
  })

  test('parseVersion() reads distribution versions', () => {
    expect(parseVersion('20.10.24+dfsg1')).toEqual([20, 10, 24])
    expect(parseVersion('v1.2')).toEqual([1, 2, 0])
    expect(parseVersion('d842d7719497cc3b774fd71620278ac9e17710e0')).toBeUndefined()
  })

  const version = (engine: string, runc: string) => ({
    Version: engine,
    ApiVersion: '1.41',
    Components: [{ Name: 'runc', Version: runc }],
  })

  test('judgePosture() finds nothing to say about a machine as it should be', () => {
    const info = {
      CgroupVersion: '2',
      Driver: 'overlay2',
      LiveRestoreEnabled: true,
      SecurityOptions: ['name=apparmor', 'name=seccomp,profile=builtin', 'name=userns', 'name=cgroupns'],
    }
    expect(judgePosture(version('28.0.1', '1.2.8'), info)).toMatchObject({ runc: '1.2.8', userns: true, degraded: [] })
  })

  test('judgePosture() says what is weak about a plain Debian 12', () => {
    const info = {
      CgroupVersion: '1',
      SecurityOptions: ['name=seccomp,profile=default'],
      RuncCommit: { ID: '1.1.5+ds1-1+deb12u1' },
    }
    const { degraded, seccomp, apparmor } = judgePosture(version('20.10.24+dfsg1', '1.1.5+ds1'), info)
    expect({ seccomp, apparmor }).toEqual({ seccomp: true, apparmor: false })
    for (const word of ['CVE-2025-31133', 'CVE-2024-29018', 'AppArmor', 'userns-remap', 'cgroup v1', 'live-restore']) {
      expect(
        degraded.some((sentence) => sentence.includes(word)),
        word,
      ).toBe(true)
    }
    // Debian mended this one in its first update.
    expect(degraded.join()).not.toContain('CVE-2024-21626')
  })

  test('judgePosture() takes what it cannot read as weak', () => {
    expect(judgePosture({}, {}).degraded.length).toBeGreaterThan(5)
    expect(judgePosture({}, { SecurityOptions: ['name=seccomp,profile=unconfined'] }).seccomp).toBe(false)
  })
})
