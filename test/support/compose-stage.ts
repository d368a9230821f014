// `deploy/compose.yaml` on a Docker engine of its own: in a network namespace of its own with a bridge inside, and with the
// images that the files would pull packed from this machine (deploy/pack-base.ts). No registry is asked.
//
// Only a program in that namespace reaches the published ports; `inside` starts one there. `close` takes all of it down.
import { execFile } from 'node:child_process'
import { mkdtemp, readFile, readdir, readlink, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { baseImage, loadBaseImages, natsImage } from '../../deploy/base-image.ts'
import { tryCommand } from '../../deploy/engine-process.ts'
import { startEngine } from '../../deploy/engine.ts'
import { ensureImages } from '../../deploy/image.ts'
import { cliEnv } from './cli-process.ts'

export interface ComposeStage {
  readonly socketPath: string
  readonly workflowImage: string
  /** One command of the compose program on our file; resolves with its stdout, rejects with all that it said. */
  compose(...words: string[]): Promise<string>
  /** Runs our command line in the engine's network namespace. */
  cli(words: readonly string[], env: Readonly<Record<string, string>>): Promise<string>
  close(): Promise<void>
  /** What `close` left: processes in the namespace, mounts and files of the engine. */
  remains(): Promise<string[]>
}

const ROOT = join(import.meta.dirname, '..', '..')
const COMMAND_DEADLINE_MS = 80_000

export async function startComposeStage(): Promise<ComposeStage> {
  const dir = await mkdtemp(join(tmpdir(), 'dray-compose-'))
  const engine = await startEngine({ stateDir: dir, network: 'isolated' })
  const namespace = await readlink(`/proc/${engine.pid}/ns/net`)
  const enter = ['nsenter', `--net=/proc/${engine.pid}/ns/net`]
  const program = await composeProgram()
  const env = {
    ...cliEnv({ BASE_IMAGE: baseImage, NATS_IMAGE: natsImage }),
    DOCKER_HOST: `unix://${engine.socketPath}`,
    DOCKER_SOCKET: engine.socketPath,
    COMPOSE_PROJECT_NAME: 'dray',
  }
  const close = async (): Promise<void> => {
    await engine.stop()
    await rm(dir, { recursive: true, force: true })
  }
  try {
    // Docker does not bring it up, and the published ports are on it.
    await run([...enter, 'ip', 'link', 'set', 'lo', 'up'], env)
    await loadBaseImages(engine.socketPath)
    const { workflow } = await ensureImages({ socketPath: engine.socketPath, stateDir: dir })
    return {
      socketPath: engine.socketPath,
      workflowImage: workflow.image,
      compose: (...words) => run([...program, '--file', join(ROOT, 'deploy/compose.yaml'), ...words], env),
      cli: (words, more) => run([...enter, process.execPath, join(ROOT, 'cli/main.ts'), ...words], cliEnv(more)),
      close,
      remains: async () => [...(await processesIn(namespace)), ...(await mountsBelow(dir)), ...(await filesIn(dir))],
    }
  } catch (error) {
    await close()
    throw error
  }
}

/** Docker's own plugin, or the program that Debian has. */
async function composeProgram(): Promise<string[]> {
  return (await tryCommand('docker', ['compose', 'version'])) === undefined ? ['docker-compose'] : ['docker', 'compose']
}

function run([program = '', ...words]: readonly string[], env: Record<string, string>): Promise<string> {
  return new Promise((resolve, reject) => {
    const options = { cwd: ROOT, env, timeout: COMMAND_DEADLINE_MS, maxBuffer: 2 ** 24 }
    execFile(program, words, options, (error, stdout, stderr) => {
      if (error === null) return resolve(stdout)
      reject(new Error(`${program} ${words.join(' ')}\n${stdout}\n${stderr}`, { cause: error }))
    })
  })
}

async function processesIn(namespace: string): Promise<string[]> {
  const found: string[] = []
  for (const pid of (await readdir('/proc')).filter((name) => Number(name) > 0)) {
    // Gone meanwhile, or a zombie: it is in no namespace.
    const its = await readlink(`/proc/${pid}/ns/net`).catch(() => '')
    if (its === namespace)
      found.push(`process ${pid} ${await readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '')}`)
  }
  return found
}

async function mountsBelow(dir: string): Promise<string[]> {
  const mounts = (await readFile('/proc/self/mountinfo', 'utf8')).split('\n')
  return mounts.filter((line) => line.includes(dir)).map((line) => `mount ${line}`)
}

async function filesIn(dir: string): Promise<string[]> {
  return (await readdir(tmpdir())).filter((name) => join(tmpdir(), name) === dir).map((name) => `folder ${name}`)
}
