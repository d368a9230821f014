// Adds up what the engine says while it pulls an image: one JSON line for each change of each layer. Pure. Bytes are
// those of the download; a total grows while the engine learns the sizes of the layers, so done ≤ total always holds but
// a percentage may fall.

export type PullProgress = {
  layersDone: number
  layers: number
  doneBytes: number
  totalBytes: number
}

export type PullAccount = {
  /** One line of the engine's stream, parsed. */
  add(line: unknown): void
  progress(): PullProgress
  /** A failure comes as a line within a response of status 200. */
  error(): string | undefined
}

type Layer = { doneBytes: number; totalBytes: number; done: boolean }

const DOWNLOADED = new Set(['Verifying Checksum', 'Download complete', 'Extracting', 'Pull complete'])
const DONE = new Set(['Pull complete', 'Already exists'])
const LAYER_STATES = new Set(['Pulling fs layer', 'Waiting', 'Downloading', 'Retrying', ...DOWNLOADED, ...DONE])

export const createPullAccount = (): PullAccount => {
  const layers = new Map<string, Layer>()
  let error: string | undefined
  return {
    add(line) {
      const said = fieldsOf(line)
      error ??= said.error
      if (said.id === undefined || !LAYER_STATES.has(said.status)) return
      const layer = layers.get(said.id) ?? { doneBytes: 0, totalBytes: 0, done: false }
      layers.set(said.id, layer)
      if (said.status === 'Downloading') {
        layer.totalBytes = Math.max(layer.totalBytes, said.totalBytes)
        layer.doneBytes = Math.min(Math.max(layer.doneBytes, said.doneBytes), layer.totalBytes)
      }
      if (DOWNLOADED.has(said.status)) layer.doneBytes = layer.totalBytes
      if (DONE.has(said.status)) layer.done = true
    },
    progress() {
      const all = [...layers.values()]
      const sum = (of: (layer: Layer) => number): number => all.reduce((total, layer) => total + of(layer), 0)
      return {
        layersDone: all.filter((layer) => layer.done).length,
        layers: all.length,
        doneBytes: sum((layer) => layer.doneBytes),
        totalBytes: sum((layer) => layer.totalBytes),
      }
    },
    error: () => error,
  }
}

type Said = { status: string; id: string | undefined; doneBytes: number; totalBytes: number; error: string | undefined }

const fieldsOf = (line: unknown): Said => {
  const said = recordOf(line)
  const detail = recordOf(said['progressDetail'])
  const errorDetail = recordOf(said['errorDetail'])
  return {
    status: textOf(said['status']) ?? '',
    id: textOf(said['id']),
    doneBytes: numberOf(detail['current']),
    totalBytes: numberOf(detail['total']),
    error: textOf(errorDetail['message']) ?? textOf(said['error']),
  }
}

const recordOf = (value: unknown): Record<string, unknown> =>
  typeof value === 'object' && value !== null ? { ...value } : {}

const textOf = (value: unknown): string | undefined => (typeof value === 'string' && value !== '' ? value : undefined)

const numberOf = (value: unknown): number => (typeof value === 'number' && value > 0 ? value : 0)
