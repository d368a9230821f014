import { expect, inject, test } from 'vitest'
import { createEngine } from '../../runner-agent/engine/engine-client.ts'
import { classifyInitExit } from '../../runner-agent/engine/classify.ts'
import { openOutput } from '../../runner-agent/engine/output-source.ts'
import { collect, createContainer, type ContainerRequest } from '../support/containers.ts'

const engine = createEngine({ socketPath: inject('engineSocket') })
const image = inject('busyboxImage')

const startFails = async (request: Partial<ContainerRequest>): Promise<unknown> => {
  try {
    await using container = await createContainer({ engine, image, ...request })
    await engine.startContainer(container.id)
    return 'started'
  } catch (error) {
    const { kind, code, message, exitCode } = error as {
      kind: string
      code: string
      message: string
      exitCode?: number
    }
    return { kind, code, message, ...(exitCode === undefined ? {} : { exitCode }) }
  }
}

const memory = { NetworkMode: 'none', Memory: 1_000_000 }
const cpus = { NetworkMode: 'none', NanoCpus: 4096e9 }
const disk = { NetworkMode: 'none', StorageOpt: { size: '1g' } }
const gpu = { NetworkMode: 'none', DeviceRequests: [{ Driver: 'nvidia', DeviceIDs: ['0'], Capabilities: [['gpu']] }] }
const mounts = { NetworkMode: 'none', Mounts: [{ Type: 'bind' as const, Source: '/nosuch/path', Target: '/x' }] }

test.for<[string, Partial<ContainerRequest>, { kind: string; code: string; exitCode?: number }, string]>([
  ['command', { command: ['nosuch'] }, { kind: 'command_missing', code: 'start_failed', exitCode: 127 }, '"nosuch"'],
  [
    'non-executable command',
    { command: ['/etc/passwd'] },
    { kind: 'command_not_executable', code: 'start_failed', exitCode: 126 },
    '/etc/passwd',
  ],
  ['user', { user: 'nosuch' }, { kind: 'user_unknown', code: 'start_failed' }, 'nosuch'],
  ['image', { image: 'nosuch:1' }, { kind: 'image_missing', code: 'image_not_found' }, '"nosuch:1"'],
  ['image name', { image: 'NOT::valid' }, { kind: 'image_name', code: 'image_not_found' }, 'NOT::valid'],
  ['working directory', { workdir: '/etc/passwd' }, { kind: 'workdir', code: 'start_failed' }, '/etc/passwd'],
  ['relative working directory', { workdir: 'relative' }, { kind: 'workdir', code: 'start_failed' }, 'absolute'],
  ['network', { host: { NetworkMode: 'nosuch' } }, { kind: 'network_missing', code: 'start_failed' }, 'nosuch'],
  ['memory', { host: memory }, { kind: 'memory_too_small', code: 'start_failed' }, '6MB'],
  ['processors', { host: cpus }, { kind: 'cpus_too_many', code: 'start_failed' }, 'processors'],
  ['disk limit', { host: disk }, { kind: 'disk_limit_unsupported', code: 'start_failed' }, 'limit the disk'],
  ['GPU', { host: gpu }, { kind: 'gpu_driver_missing', code: 'start_failed' }, 'GPUs'],
  ['mount', { host: mounts }, { kind: 'mount', code: 'start_failed' }, '/nosuch/path'],
])('a wrong %s is said in a sentence', async ([, request, expected, words]) => {
  expect(await startFails(request)).toEqual({ ...expected, message: expect.stringContaining(words) as string })
})

test('a missing working directory is made by the engine', async () => {
  expect(await startFails({ workdir: '/made/here' })).toBe('started')
})

test('a name in use is said, with the container that has it', async () => {
  await using holder = await createContainer({ engine, image })
  const [{ name } = { name: '' }] = (await engine.listContainers([])).filter(({ id }) => id === holder.id)
  await expect(engine.createContainer(name, { Image: image, Cmd: ['true'] })).rejects.toMatchObject({
    kind: 'name_in_use',
  })
})

test('with init, a missing command is known by what tini wrote', async () => {
  await using container = await createContainer({
    engine,
    image,
    command: ['nosuch'],
    host: { NetworkMode: 'none', Init: true },
  })
  await engine.startContainer(container.id)
  await using output = openTestOutput(container.id)
  const lines = (await collect(output.lines)).map((line) => Buffer.from(line.bytes).toString())
  const { exitCode } = await output.exited
  expect(classifyInitExit(exitCode, lines)).toMatchObject({
    kind: 'command_missing',
    code: 'start_failed',
    exitCode: 127,
  })
})

const openTestOutput = (id: string) => {
  const output = openOutput({ engine, id, position: { stdout: 0, stderr: 0 }, maxLineBytes: 1 << 20 })
  output.started()
  return { lines: output, exited: output.exited, [Symbol.asyncDispose]: () => output.close() }
}
