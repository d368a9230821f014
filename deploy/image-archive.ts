// Images made by hand and loaded into an engine: a configuration of fixed bytes and layers that are plain tar archives.
//
// Nothing of the time or the machine's name is in them, so the same files give the same id, known before anything is sent.
// Layers are read twice, once for their digest and once to send them; memory does not grow with them.

import { createHash } from 'node:crypto'
import { Readable } from 'node:stream'
import { callEngine } from './engine-api.ts'
import { tarBytes, tarSizeBytes, type TarEntry } from './image-tar.ts'

export interface ImageLayer {
  readonly diffId: string
  readonly entries: TarEntry[]
}

export interface PackedImage {
  readonly name: string
  /** `sha256:…`, the id that the engine will give it. */
  readonly id: string
  readonly config: string
  readonly layers: readonly ImageLayer[]
}

export interface ImageProgram {
  readonly arch: string
  readonly command?: readonly string[]
  readonly entrypoint?: readonly string[]
}

export async function layerOf(entries: TarEntry[]): Promise<ImageLayer> {
  const hash = createHash('sha256')
  for await (const part of tarBytes(entries)) hash.update(part)
  return { diffId: hash.digest('hex'), entries }
}

export function packImage(name: string, program: ImageProgram, layers: readonly ImageLayer[]): PackedImage {
  // The id is the digest of exactly these bytes.
  const config = JSON.stringify({
    architecture: program.arch,
    os: 'linux',
    created: '1970-01-01T00:00:00Z',
    config: {
      Env: ['PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin'],
      ...(program.entrypoint === undefined ? {} : { Entrypoint: program.entrypoint }),
      ...(program.command === undefined ? {} : { Cmd: program.command }),
      WorkingDir: '/workspace',
    },
    rootfs: { type: 'layers', diff_ids: layers.map(({ diffId }) => `sha256:${diffId}`) },
  })
  return { name, id: `sha256:${createHash('sha256').update(config).digest('hex')}`, config, layers }
}

/** Sends a docker-archive: one tar with a manifest, a config for each image and each layer once. */
export async function loadImages(socketPath: string, images: readonly PackedImage[]): Promise<void> {
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

function hexOf(id: string): string {
  return id.slice('sha256:'.length)
}
