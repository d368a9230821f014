import { describe, expect, test } from 'vitest'
import { classifyFailure, classifyInitExit, engineWords } from '../../runner-agent/engine/classify.ts'

const id = '30cf12b5c73e0197586e6e086e3b0274f0d74cc82638d8a8b4cc2139d9be248c'
const start = (status: number, message: string) =>
  classifyFailure({ action: 'start container', subject: id, status, message })
const create = (status: number, message: string) =>
  classifyFailure({ action: 'create a container of', subject: 'app:1', status, message })
const pull = (message: string) => classifyFailure({ action: 'pull image', subject: 'app:1', status: 500, message })

const runc =
  'failed to create shim task: OCI runtime create failed: runc create failed: unable to start container process: '

// Words of real engines, 20.10 to 26.1.
describe('classifyFailure()', () => {
  test.for([
    [
      start(400, `${runc}exec: "nosuch": executable file not found in $PATH: unknown`),
      'command_missing',
      'start_failed',
      127,
    ],
    [
      start(400, `${runc}exec: "/etc/passwd": permission denied: unknown`),
      'command_not_executable',
      'start_failed',
      126,
    ],
    [start(400, `${runc}exec: "/app": exec format error: unknown`), 'command_not_executable', 'start_failed', 126],
    [
      start(400, `${runc}exec: "/bin/x": stat /bin/x: no such file or directory: unknown`),
      'command_missing',
      'start_failed',
      127,
    ],
    [start(500, 'unable to find user nosuch: no matching entries in passwd file'), 'user_unknown', 'start_failed'],
    [start(404, 'network nosuch not found'), 'network_missing', 'start_failed'],
    [start(404, `No such container: ${id}`), 'container_missing', 'engine_lost'],
    [
      start(500, 'could not select device driver "nvidia" with capabilities: [[gpu]]'),
      'gpu_driver_missing',
      'start_failed',
    ],
    [
      start(500, `${runc}error during container init: nvidia-container-cli: device error: 9: unknown device: unknown`),
      'gpu_failed',
      'start_failed',
    ],
    [start(500, 'something entirely new'), 'refused', 'start_failed'],
    [start(500, 'write /var/lib/docker/x: no space left on device'), 'disk_full', 'disk_full'],
    [create(404, 'No such image: app:1'), 'image_missing', 'image_not_found'],
    [create(400, 'invalid reference format: repository name must be lowercase'), 'image_name', 'image_not_found'],
    [create(400, 'Minimum memory limit allowed is 6MB'), 'memory_too_small', 'start_failed'],
    [
      create(400, 'Range of CPUs is from 0.01 to 2.00, as there are only 2 CPUs available'),
      'cpus_too_many',
      'start_failed',
    ],
    [
      create(500, "--storage-opt is supported only for overlay over xfs with 'pquota' mount option"),
      'disk_limit_unsupported',
      'start_failed',
    ],
    [create(400, 'Unknown runtime specified nvidia'), 'gpu_driver_missing', 'start_failed'],
    [start(500, `task ${id}: already exists`), 'engine_fault', 'engine_lost'],
    [start(500, 'id already in use'), 'engine_fault', 'engine_lost'],
    [start(500, 'ttrpc: closed: unknown'), 'engine_fault', 'engine_lost'],
    [create(400, 'No command specified'), 'no_command', 'start_failed'],
    [create(400, 'Cannot mkdir: /etc/passwd is not a directory'), 'workdir', 'start_failed'],
    [create(400, 'invalid mount config for type "bind": bind source path does not exist: /x'), 'mount', 'start_failed'],
    [
      create(409, `Conflict. The container name "/e" is already in use by container "${id}". You have to remove`),
      'name_in_use',
      'internal',
    ],
    [create(400, 'invalid hostname format'), 'refused', 'start_failed'],
    [create(500, 'layer does not exist'), 'engine_fault', 'internal'],
    [pull('manifest for app:1 not found: manifest unknown: manifest unknown'), 'image_missing', 'image_not_found'],
    [
      pull("pull access denied for app, repository does not exist or may require 'docker login'"),
      'pull_denied',
      'image_pull_failed',
    ],
    [
      pull('Get "https://registry-1.docker.io/v2/": dial tcp: lookup registry-1.docker.io: i/o timeout'),
      'pull_failed',
      'image_pull_failed',
    ],
    [pull('toomanyrequests: You have reached your pull rate limit'), 'pull_failed', 'image_pull_failed'],
  ] as const)('%#: %o', ([fault, kind, code, exitCode]) => {
    expect(fault).toMatchObject({ kind, code, ...(exitCode === undefined ? {} : { exitCode }) })
    expect(fault.message).toMatch(/^[A-Z"].*\.$/)
    expect(fault.hint).toMatch(/\.$/)
    expect(fault.message).not.toContain(id)
  })

  test.for([
    ['ENOENT', 'engine_away', 'engine_lost'],
    ['ECONNREFUSED', 'engine_away', 'engine_lost'],
    ['ECONNRESET', 'engine_away', 'engine_lost'],
    ['EACCES', 'engine_forbidden', 'engine_lost'],
    ['ETIMEDOUT', 'engine_silent', 'engine_lost'],
    ['EMFILE', 'engine_fault', 'internal'],
  ] as const)('knows what %s of the socket means', ([errno, kind, code]) => {
    expect(
      classifyFailure({ action: 'start container', subject: id, errno, message: `connect ${errno}` }),
    ).toMatchObject({ kind, code })
  })
})

test('engineWords() leaves the cause, on one line and bounded', () => {
  expect(engineWords(`${runc}exec: "x": permission denied: unknown`)).toBe('exec: "x": permission denied')
  expect(engineWords('Error response from daemon: no\nmore.\n')).toBe('no more')
  expect(engineWords('x'.repeat(10_000)).length).toBe(600)
})

describe('classifyInitExit()', () => {
  const missing = '[FATAL tini (7)] exec nosuch failed: No such file or directory'
  test('tells a command that could not be run from a program that exits with the same code', () => {
    expect(classifyInitExit(127, ['noise', missing])).toMatchObject({
      kind: 'command_missing',
      code: 'start_failed',
      exitCode: 127,
    })
    const denied = '[FATAL tini (7)] exec /etc/passwd failed: Permission denied'
    expect(classifyInitExit(126, [denied])).toMatchObject({ kind: 'command_not_executable', exitCode: 126 })
    expect(classifyInitExit(127, ['sh: nosuch: not found'])).toBeUndefined()
    expect(classifyInitExit(1, [missing])).toBeUndefined()
  })
})
