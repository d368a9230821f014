// Writes tar archives whose bytes depend on the entries alone: no owner, no time, the order of the list.
//
// That is what gives a packed image the same id on every run. Only what an image needs is written: directories, regular
// files and symbolic links with names up to 250 bytes (cut in two at a slash, as ustar has it). Content is streamed, so a
// file's size does not matter for memory.

import { createReadStream, statSync } from 'node:fs'

export type TarEntry =
  | { path: string; kind: 'directory'; mode?: number }
  | { path: string; kind: 'link'; target: string }
  | { path: string; kind: 'file'; mode?: number; content: string }
  | { path: string; kind: 'file'; mode?: number; source: string }
  | { path: string; kind: 'file'; mode?: number; sizeBytes: number; stream: () => AsyncIterable<Uint8Array> }

const blockBytes = 512

/** The archive's bytes. Throws when a source file changes its size meanwhile. */
export async function* tarBytes(entries: TarEntry[]): AsyncGenerator<Uint8Array> {
  for (const entry of entries) {
    const sizeBytes = sizeOf(entry)
    yield header(entry, sizeBytes)
    if (entry.kind !== 'file') continue
    let written = 0
    for await (const part of contentOf(entry)) {
      written += part.length
      yield part
    }
    if (written !== sizeBytes) throw new Error(`"${entry.path}" has ${written} bytes, ${sizeBytes} were announced`)
    yield new Uint8Array((blockBytes - (sizeBytes % blockBytes)) % blockBytes)
  }
  yield new Uint8Array(2 * blockBytes)
}

/** How long `tarBytes` of the same entries will be. */
export function tarSizeBytes(entries: TarEntry[]): number {
  const blocks = entries.map((entry) => 1 + Math.ceil(sizeOf(entry) / blockBytes))
  return blockBytes * (2 + blocks.reduce((sum, count) => sum + count, 0))
}

function sizeOf(entry: TarEntry): number {
  if (entry.kind !== 'file') return 0
  if ('content' in entry) return Buffer.byteLength(entry.content)
  return 'source' in entry ? statSync(entry.source).size : entry.sizeBytes
}

function contentOf(entry: TarEntry & { kind: 'file' }): AsyncIterable<Uint8Array> | Uint8Array[] {
  if ('content' in entry) return [Buffer.from(entry.content)]
  return 'source' in entry ? createReadStream(entry.source, { highWaterMark: 1 << 18 }) : entry.stream()
}

function header(entry: TarEntry, sizeBytes: number): Uint8Array {
  const { prefix, name } = splitPath(entry.kind === 'directory' ? `${entry.path}/` : entry.path)
  const block = Buffer.alloc(blockBytes)
  const octal = (value: number, at: number, width: number) =>
    block.write(value.toString(8).padStart(width - 1, '0'), at, 'latin1')
  block.write(name, 0)
  octal(entry.kind === 'link' ? 0o777 : (entry.mode ?? (entry.kind === 'directory' ? 0o755 : 0o644)), 100, 8)
  octal(0, 108, 8)
  octal(0, 116, 8)
  octal(sizeBytes, 124, 12)
  octal(0, 136, 12)
  block.write({ file: '0', link: '2', directory: '5' }[entry.kind], 156)
  if (entry.kind === 'link') block.write(entry.target, 157)
  block.write('ustar\x0000', 257)
  block.write(prefix, 345)
  // The checksum counts its own field as eight blanks.
  block.fill(' ', 148, 156)
  const sum = block.reduce((total, byte) => total + byte, 0)
  block.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148)
  return block
}

function splitPath(path: string): { prefix: string; name: string } {
  if (Buffer.byteLength(path) <= 99) return { prefix: '', name: path }
  const at = path.indexOf('/', path.length - 100)
  const [prefix, name] = [path.slice(0, at), path.slice(at + 1)]
  if (at < 1 || prefix.length > 154 || Buffer.byteLength(path) !== path.length)
    throw new Error(`"${path}" is too long for a plain tar header`)
  return { prefix, name }
}
