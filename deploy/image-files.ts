// What is inside the images that are packed from this machine: a BusyBox layer, a layer with Node, one with nodetool.
//
// The BusyBox layer has a static shell and about 270 small commands; Node is this process's own, with the libraries that
// the loader names for it. No registry is asked. It works on Linux with glibc only, for this machine's own architecture;
// `whyNotPackable` says whether.

import { existsSync, readdirSync, realpathSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { tryCommand } from './engine-process.ts'
import { toolPath } from './tools.ts'
import type { TarEntry } from './image-tar.ts'

export const imageSourceDir = join(import.meta.dirname, 'workflow-image')

export interface ImageLayers {
  busybox: TarEntry[]
  node: TarEntry[]
  nodetool: TarEntry[]
}

/** Why the images cannot be packed here, or undefined when they can. */
export function whyNotPackable(engineArch: string): string | undefined {
  const arch = { x64: 'amd64', arm64: 'arm64' }[process.arch as string]
  if (process.platform !== 'linux') return `this machine runs ${process.platform}, not Linux`
  if (arch !== engineArch) return `the engine runs ${engineArch}, this machine ${process.arch}`
  if (!existsSync(toolPath('busybox'))) return 'there is no static busybox in the tools folder'
  return undefined
}

export async function imageLayers(): Promise<ImageLayers> {
  const node = await programLayer(realpathSync(process.execPath), 'usr/bin/node')
  if (!node.some(({ path }) => path.includes('libc')))
    throw new Error(`ldd names no libraries for "${process.execPath}"`)
  return { busybox: sorted(await busyboxLayer()), node, nodetool: sorted(nodetoolLayer()) }
}

/** One program with the libraries that the loader names for it, none where it is a static one. */
export async function programLayer(source: string, path: string): Promise<TarEntry[]> {
  const folders = withParents(dirname(path)).map(directory)
  return withoutDoubles([...folders, { path, kind: 'file', mode: 0o755, source }, ...(await librariesOf(source))])
}

/** What the loader names for a program or an addon of Node, with the folders that they lie in. */
export async function librariesOf(source: string): Promise<TarEntry[]> {
  const libraries = ((await tryCommand('ldd', [source])) ?? '').match(/\/\S+/g) ?? []
  return libraries.flatMap((library): TarEntry[] => [
    ...withParents(dirname(library).slice(1)).map(directory),
    { path: library.slice(1), kind: 'file', mode: 0o755, source: realpathSync(library) },
  ])
}

/** nodetool's source files, as they stand in this repository. */
export function nodetoolFiles(): string[] {
  return readdirSync(imageSourceDir)
    .filter((name) => name.endsWith('.mjs'))
    .toSorted()
}

async function busyboxLayer(): Promise<TarEntry[]> {
  const busybox = toolPath('busybox')
  const applets = ((await tryCommand(busybox, ['--list'])) ?? '')
    .split('\n')
    .filter((name) => name && name !== 'busybox')
  if (!applets.includes('sh')) throw new Error(`"${busybox}" does not run here or has no shell`)
  return [
    ...['bin', 'dev', 'etc', 'proc', 'root', 'sys', 'usr', 'usr/bin'].map(directory),
    { path: 'tmp', kind: 'directory', mode: 0o1777 },
    { path: 'workspace', kind: 'directory', mode: 0o1777 },
    { path: 'bin/busybox', kind: 'file', mode: 0o755, source: busybox },
    ...applets.map((name): TarEntry => ({ path: `bin/${name}`, kind: 'link', target: 'busybox' })),
    { path: 'usr/bin/env', kind: 'link', target: '/bin/busybox' },
    {
      path: 'etc/passwd',
      kind: 'file',
      content: accounts('root:x:0:0:root:/root:/bin/sh', 'nobody:x:65534:65534:nobody:/:/bin/sh'),
    },
    { path: 'etc/group', kind: 'file', content: accounts('root:x:0:', 'nogroup:x:65534:') },
    { path: 'etc/nsswitch.conf', kind: 'file', content: accounts('passwd: files', 'group: files', 'hosts: files dns') },
  ]
}

function nodetoolLayer(): TarEntry[] {
  const folders = new Set(['usr/local/lib/nodetool', 'usr/local/bin'].flatMap(withParents))
  return [
    ...[...folders].map(directory),
    ...nodetoolFiles().map((name): TarEntry => {
      return { path: `usr/local/lib/nodetool/${name}`, kind: 'file', mode: 0o755, source: join(imageSourceDir, name) }
    }),
    { path: 'usr/local/bin/nodetool', kind: 'link', target: '../lib/nodetool/nodetool.mjs' },
  ]
}

/** Sorted by path, which also puts each folder before what is in it. */
export function sorted(entries: TarEntry[]): TarEntry[] {
  return entries.toSorted((a, b) => (a.path < b.path ? -1 : 1))
}

/** For lists that name a folder or a library more than once. */
export function withoutDoubles(entries: TarEntry[]): TarEntry[] {
  return sorted([...new Map(entries.map((entry) => [entry.path, entry])).values()])
}

export function directory(path: string): TarEntry {
  return { path, kind: 'directory' }
}

export function withParents(path: string): string[] {
  const parts = path.split('/')
  return parts.map((_, at) => parts.slice(0, at + 1).join('/'))
}

function accounts(...lines: string[]): string {
  return `${lines.join('\n')}\n`
}
