// Two images for `deploy/compose.yaml` where no registry answers, packed from this machine: `dray-base`, on which
// deploy/Dockerfile and deploy/agent.Dockerfile build, and `dray-nats`, a server that the machine has already.
//
// The base is BusyBox, this process's own Node and the packages that the program needs, with the lock file that they were
// installed from beside them: the Dockerfiles then have nothing to fetch. It works where `whyNotPackable` has no objection.

import { existsSync, lstatSync, readdirSync, readFileSync, readlinkSync } from 'node:fs'
import { join } from 'node:path'
import { callEngine } from './engine-api.ts'
import { layerOf, loadImages, packImage } from './image-archive.ts'
import {
  directory,
  imageLayers,
  librariesOf,
  programLayer,
  whyNotPackable,
  withoutDoubles,
  withParents,
} from './image-files.ts'
import type { TarEntry } from './image-tar.ts'
import { findNatsServer } from './tools.ts'

export const baseImage = 'dray-base:latest'
export const natsImage = 'dray-nats:latest'

const root = join(import.meta.dirname, '..')
/** Where the Dockerfiles install. */
const target = 'dray'

interface LockEntry {
  readonly dev?: boolean
  readonly optional?: boolean
}

export async function loadBaseImages(socketPath: string): Promise<void> {
  const { Arch: arch } = JSON.parse((await callEngine(socketPath, '/version')).body) as { Arch: string }
  const obstacle = whyNotPackable(arch)
  if (obstacle !== undefined) throw new Error(`Cannot pack "${baseImage}": ${obstacle}. Build on a registry's image.`)
  const { busybox, node } = await imageLayers()
  const server = await programLayer(await findNatsServer(), 'usr/bin/nats-server')
  const tools = await layerOf(busybox)
  const base = [tools, await layerOf(node), await layerOf(await packagesLayer())]
  await loadImages(socketPath, [
    packImage(baseImage, { arch, command: ['sh'] }, base),
    packImage(natsImage, { arch, entrypoint: ['nats-server'] }, [tools, await layerOf(server)]),
  ])
}

/** What `npm ci --omit=dev` would install here, but the Node that comes as a package: the image has one. */
async function packagesLayer(): Promise<TarEntry[]> {
  const lockText = readFileSync(join(root, 'package-lock.json'), 'utf8')
  const { packages } = JSON.parse(lockText) as { packages: Record<string, LockEntry> }
  const wanted = Object.entries(packages).filter(([path, entry]) => {
    return path !== '' && entry.dev !== true && !/^node_modules\/node(-bin)?-\w+-\w+$/.test(path)
  })
  // A place for state, as every system has it.
  const folders = new Set(withParents('var/lib'))
  const files = wanted.flatMap(([path, entry]) => {
    if (!existsSync(join(root, path))) {
      if (entry.optional === true) return []
      throw new Error(`"${path}" is not installed: run "sh deploy/setup.sh start" first`)
    }
    for (const folder of withParents(join(target, path))) folders.add(folder)
    return entriesBelow(path)
  })
  // deploy/setup/packages.sh keeps this copy too: it names what these packages are.
  const mark = join(target, 'node_modules', '.dray-lock-lean.json')
  const note: TarEntry = { path: mark, kind: 'file', content: lockText }
  return withoutDoubles([...[...folders].map(directory), ...files, note, ...(await librariesOfAddons(files))])
}

/** The image has no libraries but those that somebody names: an addon may want more than Node itself. */
async function librariesOfAddons(files: TarEntry[]): Promise<TarEntry[]> {
  const addons = files.flatMap((entry) => ('source' in entry && entry.path.endsWith('.node') ? [entry.source] : []))
  return (await Promise.all(addons.map(librariesOf))).flat()
}

/** Packages inside this one are not its own: the lock file names them. */
function entriesBelow(path: string): TarEntry[] {
  return readdirSync(join(root, path)).flatMap((name): TarEntry[] => {
    if (name === 'node_modules') return []
    const [from, source] = [join(path, name), join(root, path, name)]
    const stat = lstatSync(source)
    if (stat.isDirectory()) return [directory(join(target, from)), ...entriesBelow(from)]
    if (stat.isSymbolicLink()) return [{ path: join(target, from), kind: 'link', target: readlinkSync(source) }]
    return [{ path: join(target, from), kind: 'file', mode: (stat.mode & 0o111) === 0 ? 0o644 : 0o755, source }]
  })
}
