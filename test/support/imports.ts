// Reads which files import what, from the sources' text.
//
// Good enough for our own style (ESM, single quotes, extensions written out) and independent of any compiler's API.
// `import type`, re-exports and `import()` all count. Comments are ignored.

import { readFileSync, readdirSync } from 'node:fs'
import { dirname, join, posix, relative } from 'node:path'

export interface SourceFile {
  /** From the repository's root, with forward slashes. */
  path: string
  text: string
  imports: string[]
}

const names = String.raw`(?:type\s+)?(?:\{[^}]*\}|\*(?:\s+as\s+\w+)?|\w+(?:\s*,\s*\{[^}]*\})?)`
const statements = new RegExp(
  String.raw`^\s*(?:import|export)\s+${names}\s+from\s+'([^']+)'|^\s*import\s+'([^']+)'|\bimport\(\s*'([^']+)'\s*\)`,
  'gm',
)

export function readSources(root: string, folders: readonly string[]): SourceFile[] {
  const files = folders.flatMap((folder) =>
    readdirSync(join(root, folder), { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile() && /\.tsx?$/.test(entry.name))
      .map((entry) => relative(root, join(entry.parentPath, entry.name)).replaceAll('\\', '/')),
  )
  return files.toSorted().map((path) => sourceFile(path, readFileSync(join(root, path), 'utf8')))
}

/** Imports of our own files come back as paths from the root, those of packages as they are written. */
export function sourceFile(path: string, text: string): SourceFile {
  const found = [...withoutComments(text).matchAll(statements)].map((match) => match[1] ?? match[2] ?? match[3] ?? '')
  const imports = found.map((target) => (target.startsWith('.') ? posix.join(dirname(path), target) : target))
  return { path, text, imports }
}

/** Strings are matched first, so that a `//` inside one is no comment. */
export function withoutComments(text: string): string {
  return text.replace(/('(?:[^'\\\n]|\\.)*'|"(?:[^"\\\n]|\\.)*"|`(?:[^`\\]|\\.)*`)|\/\*[\s\S]*?\*\/|\/\/[^\n]*/g, '$1')
}
