// Sees to it that the engine has our two images: `dray-workflow`, which speaks nodetool's protocol, and `dray-busybox`.
//
// Packed from this machine's own Node where that is possible, because it needs no network and the id is known before
// anything is sent; else built from deploy/workflow-image/Dockerfile, which needs a registry. When the images are there
// already, it is two short calls. Each image is also tagged with the beginning of its id, so that a job can pin it.

import { createHash } from 'node:crypto'
import { mkdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import { callEngine, imageId } from './engine-api.ts'
import { buildFromRegistry } from './image-build.ts'
import { imageLayers, whyNotPackable } from './image-files.ts'
import { tarBytes, tarSizeBytes, type TarEntry } from './image-tar.ts'

export interface EnsuredImage {
  /** Name with tag, as a job would give it. */
  image: string
  /** `sha256:…`, the engine's id. */
  id: string
  /** What was done, for people: "found", "packed from …", "built from …". */
  how: string
  tookMs: number
}

export interface ImageRequest {
  socketPath: string
  stateDir: string
}

export interface PackedImage {
  name: string
  id: string
  config: string
  layers: { diffId: string; entries: TarEntry[] }[]
}

export const workflowImage = 'dray-workflow:latest'
export const busyboxImage = 'dray-busybox:latest'

const nodetoolCommand = ['nodetool', 'run', '--stdin', '--jsonl', '--show-node-updates']

/** The sample workflow image; sees to `dray-busybox` as well, whose layer it shares. */
export async function ensureWorkflowImage(request: ImageRequest): Promise<EnsuredImage> {
  return (await ensureImages(request)).workflow
}

export async function ensureImages(request: ImageRequest): Promise<{ workflow: EnsuredImage; busybox: EnsuredImage }> {
  const startedAt = performance.now()
  const version = JSON.parse((await callEngine(request.socketPath, '/version')).body) as { Arch: string }
  const obstacle = whyNotPackable(version.Arch)
  const made =
    obstacle === undefined ? await ensurePacked(request, version.Arch) : await buildFromRegistry(request, obstacle)
  const tookMs = Math.round(performance.now() - startedAt)
  return {
    workflow: { image: workflowImage, id: made.workflowId, how: made.how, tookMs },
    busybox: { image: busyboxImage, id: made.busyboxId, how: made.how, tookMs },
  }
}

/** Both images with the ids that the engine will give them. Reads every file; writes nothing. */
export async function packImages(arch: string): Promise<{ workflow: PackedImage; busybox: PackedImage }> {
  const layers = await imageLayers()
  const low = { diffId: await digestOf(layers.busybox), entries: layers.busybox }
  const high = { diffId: await digestOf(layers.node), entries: layers.node }
  return {
    busybox: packed(busyboxImage, arch, ['sh'], [low]),
    workflow: packed(workflowImage, arch, nodetoolCommand, [low, high]),
  }
}

async function ensurePacked(request: ImageRequest, arch: string) {
  const layers = await imageLayers()
  const key = keyOf([...layers.busybox, ...layers.node])
  const notePath = join(request.stateDir, 'images.json')
  const note = readNote(notePath)
  if (note?.key === key && (await isTagged(request, note))) return { ...note, how: 'found' }
  const images = await packImages(arch)
  const ids = { workflowId: images.workflow.id, busyboxId: images.busybox.id }
  const there = await isTagged(request, ids)
  if (!there) await load(request.socketPath, [images.busybox, images.workflow])
  mkdirSync(request.stateDir, { recursive: true })
  writeFileSync(notePath, JSON.stringify({ key, ...ids }))
  return { ...ids, how: there ? 'found' : `packed from this machine's Node ${process.versions.node}` }
}

function packed(name: string, arch: string, command: string[], layers: PackedImage['layers']): PackedImage {
  // The id is the digest of exactly these bytes: nothing in them may depend on the time or the machine's name.
  const config = JSON.stringify({
    architecture: arch,
    os: 'linux',
    created: '1970-01-01T00:00:00Z',
    config: {
      Env: ['PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin'],
      Cmd: command,
      WorkingDir: '/workspace',
    },
    rootfs: { type: 'layers', diff_ids: layers.map(({ diffId }) => `sha256:${diffId}`) },
  })
  return { name, id: `sha256:${createHash('sha256').update(config).digest('hex')}`, config, layers }
}

/** Sends a docker-archive: one tar with a manifest, a config for each image and each layer once. */
async function load(socketPath: string, images: PackedImage[]): Promise<void> {
  const layers = new Map(images.flatMap((image) => image.layers.map((layer) => [layer.diffId, layer.entries] as const)))
  const manifest = images.map((image) => ({
    Config: `${hexOf(image.id)}.json`,
    RepoTags: [image.name, image.name.replace(/:.*/, `:${hexOf(image.id).slice(0, 12)}`)],
    Layers: image.layers.map(({ diffId }) => `${diffId}.tar`),
  }))
  const entries: TarEntry[] = [
    { path: 'manifest.json', kind: 'file', content: JSON.stringify(manifest) },
    ...images.map(({ id, config }): TarEntry => ({ path: `${hexOf(id)}.json`, kind: 'file', content: config })),
    ...[...layers].map(([diffId, inside]): TarEntry => {
      return { path: `${diffId}.tar`, kind: 'file', sizeBytes: tarSizeBytes(inside), stream: () => tarBytes(inside) }
    }),
  ]
  const body = Readable.from(tarBytes(entries), { objectMode: false })
  const answer = await callEngine(socketPath, '/images/load?quiet=1', {
    method: 'POST',
    body,
    contentType: 'application/x-tar',
    deadlineMs: 120_000,
  })
  // Errors after the first byte come inside a 200.
  if (answer.status !== 200 || answer.body.includes('"error"')) {
    throw new Error(`The engine refused our image (${answer.status}): ${answer.body.trim()}`)
  }
}

async function isTagged(request: ImageRequest, ids: { workflowId: string; busyboxId: string }): Promise<boolean> {
  const found = await Promise.all([workflowImage, busyboxImage].map((name) => imageId(request.socketPath, name)))
  return found[0] === ids.workflowId && found[1] === ids.busyboxId
}

async function digestOf(entries: TarEntry[]): Promise<string> {
  const hash = createHash('sha256')
  for await (const part of tarBytes(entries)) hash.update(part)
  return hash.digest('hex')
}

/** Changes when any file's path, size or time changes: reading 130 MB to learn that nothing changed would take 0.3 s. */
function keyOf(entries: TarEntry[]): string {
  const facts = entries.map((entry) => {
    if (!('source' in entry)) return entry
    const { size, mtimeMs } = statSync(entry.source)
    return { ...entry, size, mtimeMs }
  })
  return createHash('sha256').update(JSON.stringify(facts)).digest('hex')
}

function readNote(path: string): { key: string; workflowId: string; busyboxId: string } | undefined {
  try {
    return JSON.parse(readFileSync(path, 'utf8')) as { key: string; workflowId: string; busyboxId: string }
  } catch {
    // No note, or a torn one: everything is computed again.
    return undefined
  }
}

function hexOf(id: string): string {
  return id.slice('sha256:'.length)
}
