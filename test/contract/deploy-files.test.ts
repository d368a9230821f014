// The files of deploy/: the images' file lists hold all that their program needs (test/edge/compose.test.ts builds and
// starts them), and the worker's configuration names what the code exports and nothing secret.
import { spawn } from 'node:child_process'
import { cp, mkdtemp, readFile, rm, symlink } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { controlPlaneSettings } from '../../control-plane/entry/control-plane-config.ts'
import { NATS_SERVER_ENV, NODE_PROCESS_ENV } from '../../deploy/process-env.ts'
import { bundleWorker } from '../../deploy/worker-bundle.ts'
import { startupCpuMs } from '../../deploy/worker-startup.ts'
import { freePort } from '../../deploy/free-port.ts'
import { manageProcess } from '../support/managed-process.ts'
import { eventually } from '../support/eventually.ts'

const ROOT = join(import.meta.dirname, '..', '..')
const read = (name: string): Promise<string> => readFile(join(ROOT, name), 'utf8')

/** What the last stage copies from the repository, laid out as in the image. */
async function layOut(dockerfile: string, folder: string): Promise<void> {
  const lastStage = (await read(dockerfile)).split(/^FROM .*$/m).at(-1) ?? ''
  for (const [, from = '', to = ''] of lastStage.matchAll(/^COPY (?!--from)(\S+) (\S+)$/gm))
    await cp(join(ROOT, from), to === './' ? join(folder, from) : join(folder, to), { recursive: true })
  await symlink(join(ROOT, 'node_modules'), join(folder, 'node_modules'))
}

describe('the images', () => {
  const folders: string[] = []
  const imageOf = async (dockerfile: string): Promise<string> => {
    const folder = await mkdtemp(join(tmpdir(), 'dray-image-'))
    folders.push(folder)
    await layOut(dockerfile, folder)
    return folder
  }
  afterAll(() => Promise.all(folders.map((folder) => rm(folder, { recursive: true, force: true }))))

  it('the control plane starts from the files of its image', async () => {
    const folder = await imageOf('deploy/Dockerfile')
    const port = await freePort()
    const plane = manageProcess({
      name: 'control plane',
      command: process.execPath,
      args: [join(folder, 'cli/main.ts'), 'control-plane'],
      env: {
        DRAY_PORT: String(port),
        DRAY_STATE_DIR: join(folder, 'state'),
        DRAY_NATS_URLS: 'nats://127.0.0.1:1',
      },
    })
    plane.start()
    const alive = async (): Promise<boolean> => (await fetch(`http://127.0.0.1:${port}/healthz`)).ok
    await eventually(alive, { deadlineMs: 10_000, what: plane.output() })
    expect(await plane.stop()).toBe(0)
  })

  it('the agent starts from the files of its image, and says what it lacks', async () => {
    const folder = await imageOf('deploy/agent.Dockerfile')
    const child = spawn(process.execPath, [join(folder, 'cli/main.ts'), 'agent'], {
      env: {},
      stdio: ['ignore', 'ignore', 'pipe'],
    })
    const [said, code] = await Promise.all([text(child.stderr), new Promise((resolve) => child.once('close', resolve))])
    expect([code, said]).toEqual([2, expect.stringContaining('DRAY_URL')])
  })
})

it.each([
  ['deploy/compose.yaml', NATS_SERVER_ENV],
  ['deploy/systemd/dray-nats.service', NATS_SERVER_ENV],
  ['deploy/Dockerfile', NODE_PROCESS_ENV],
  ['deploy/agent.Dockerfile', NODE_PROCESS_ENV],
  ['deploy/systemd/dray-control-plane.service', NODE_PROCESS_ENV],
  ['deploy/systemd/dray-agent.service', NODE_PROCESS_ENV],
])('%s keeps the memory of its process from growing', async (name, env) => {
  const file = await read(name)
  for (const [key, value] of Object.entries(env)) expect(file).toMatch(new RegExp(`\\b${key}\\b.*${value}`))
})

describe('wrangler.toml', () => {
  let toml: string
  beforeAll(async () => (toml = await read('wrangler.toml')))

  it('sets only what is a setting, and no secret', () => {
    const vars = [...(toml.split('[vars]')[1]?.split('\n[')[0] ?? '').matchAll(/^(\w+) =/gm)].map(([, name]) => name)
    expect(vars.length).toBeGreaterThan(0)
    for (const name of vars) {
      expect(Object.keys(controlPlaneSettings.shape)).toContain(name)
      expect(name).not.toMatch(/TOKEN|IDENTITY|KEY|SECRET|DATABASE/)
    }
  })

  it('bundles to less than 1 MiB compressed, without a wait for anybody', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'dray-bundle-'))
    const { gzipBytes } = await bundleWorker(folder)
    expect(gzipBytes).toBeLessThan(2 ** 20)
    await rm(folder, { recursive: true, force: true })
  })

  it('starts with little processor time, and one that is busy at its start is found out', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'dray-bundle-'))
    const { file } = await bundleWorker(folder)
    const code = await readFile(file, 'utf8')
    await rm(folder, { recursive: true, force: true })
    const plainMs = (await startupCpuMs(code)) ?? 0
    const busyMs =
      (await startupCpuMs(`let n = 0; for (let i = 0; i < 6e8; i += 1) n += i % 7; globalThis.n = n\n${code}`)) ?? 0
    expect(plainMs).toBeGreaterThan(0)
    expect(plainMs).toBeLessThan(500)
    expect(busyMs).toBeGreaterThan(plainMs + 200)
  }, 120_000)

  it('names the Durable Object that the entry exports', async () => {
    const [, name = ''] = /class_name = "(\w+)"/.exec(toml) ?? []
    expect(toml).toContain(`new_sqlite_classes = ["${name}"]`)
    expect(await read('control-plane/entry/workerd.ts')).toContain(`export { ${name} }`)
  })
})
