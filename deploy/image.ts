// Sees to it that the engine has our two images: `dray-workflow`, which speaks nodetool's protocol, and `dray-busybox`.
//
// Packed from this machine's own Node where that is possible, because it needs no network and the id is known before
// anything is sent; else built from deploy/workflow-image/Dockerfile, which needs a registry. When the images are there
// already, it is two short calls. Each image is also tagged with the beginning of its id, so that a job can pin it.

import { createHash } from 'node:crypto'
import { mkdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { callEngine, imageId } from './engine-api.ts'
import { layerOf, loadImages, packImage, type PackedImage } from './image-archive.ts'
import { buildFromRegistry } from './image-build.ts'
import { imageLayers, whyNotPackable } from './image-files.ts'
import type { TarEntry } from './image-tar.ts'

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
  const [busybox, node, nodetool] = await Promise.all([layers.busybox, layers.node, layers.nodetool].map(layerOf))
  if (!busybox || !node || !nodetool) throw new Error('three layers were asked for')
  return {
    busybox: packImage(busyboxImage, { arch, command: ['sh'] }, [busybox]),
    workflow: packImage(workflowImage, { arch, command: nodetoolCommand }, [busybox, node, nodetool]),
  }
}

async function ensurePacked(request: ImageRequest, arch: string) {
  const layers = await imageLayers()
  const key = keyOf([...layers.busybox, ...layers.node, ...layers.nodetool])
  const notePath = join(request.stateDir, 'images.json')
  const note = readNote(notePath)
  if (note?.key === key && (await isTagged(request, note))) return { ...note, how: 'found' }
  const images = await packImages(arch)
  const ids = { workflowId: images.workflow.id, busyboxId: images.busybox.id }
  const there = await isTagged(request, ids)
  if (!there) await loadImages(request.socketPath, [images.busybox, images.workflow])
  mkdirSync(request.stateDir, { recursive: true })
  writeFileSync(notePath, JSON.stringify({ key, ...ids }))
  return { ...ids, how: there ? 'found' : `packed from this machine's Node ${process.versions.node}` }
}

async function isTagged(request: ImageRequest, ids: { workflowId: string; busyboxId: string }): Promise<boolean> {
  const found = await Promise.all([workflowImage, busyboxImage].map((name) => imageId(request.socketPath, name)))
  return found[0] === ids.workflowId && found[1] === ids.busyboxId
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
