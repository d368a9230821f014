// A child's output as a file of bounded size: at the bound the file becomes `<name>.1` and a new one begins.

import { appendFileSync, readFileSync, renameSync, statSync } from 'node:fs'

export interface BoundedLog {
  readonly path: string
  write(chunk: Buffer): void
  /** The last lines, for people. */
  tail(lines: number): string
}

const usualSizeBytes = 4 * 2 ** 20

export function openBoundedLog(path: string, maxSizeBytes = usualSizeBytes): BoundedLog {
  let sizeBytes = sizeOf(path)
  return {
    path,
    write(chunk) {
      if (sizeBytes > 0 && sizeBytes + chunk.length > maxSizeBytes) {
        renameSync(path, `${path}.1`)
        sizeBytes = 0
      }
      appendFileSync(path, chunk, { mode: 0o600 })
      sizeBytes += chunk.length
    },
    tail(lines) {
      const text = [`${path}.1`, path].map((part) => (sizeOf(part) > 0 ? readFileSync(part, 'utf8') : '')).join('')
      return text.trimEnd().split('\n').slice(-lines).join('\n')
    },
  }
}

function sizeOf(path: string): number {
  return statSync(path, { throwIfNoEntry: false })?.size ?? 0
}
