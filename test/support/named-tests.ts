// Pages name tests as proofs: `test/….ts` › name. A test that was renamed or removed would turn a row into a claim without
// proof: this finds such rows by a search of the text, without running anything.
import { existsSync, readFileSync } from 'node:fs'
import path from 'node:path'

const ROOT = path.join(import.meta.dirname, '..', '..')
const SEPARATOR = ' › '
const known = new Map<string, Set<string>>()

/** The cells of a row of a table, without the empty ones at its ends. */
export function cellsOf(line: string): string[] {
  return line
    .split(/(?<!\\)\|/)
    .slice(1, -1)
    .map((cell) => cell.trim().replaceAll(String.raw`\|`, '|'))
}

/** Several proofs in one cell are parted by <br>. */
export function proofsIn(cell: string): string[] {
  return cell.split('<br>').flatMap((proof) => proof.trim() || [])
}

/** The names as they are written in a file, before `each` fills in its values. */
export function namesIn(file: string): Set<string> {
  const source = readFileSync(path.join(ROOT, file), 'utf8')
  const calls = source.matchAll(/(?:\b(?:it|test)\(|\)\()\s*(['"`])((?:\\.|(?!\1).)*)\1/gs)
  return new Set(Array.from(calls, ([, , name = '']) => name.replaceAll(/\\(.)/gs, '$1')))
}

/** What is wrong with `file › name`, or nothing. */
export function faultOf(proof: string): string | undefined {
  const [quoted = '', ...rest] = proof.split(SEPARATOR)
  const file = /^`(test\/[\w./-]+\.ts)`$/.exec(quoted)?.[1]
  const name = rest.join(SEPARATOR)
  if (file === undefined || name === '') return `"${proof}" is not of the form \`test/….ts\` › name`
  if (!existsSync(path.join(ROOT, file))) return `there is no file ${file}`
  const names = known.get(file) ?? namesIn(file)
  known.set(file, names)
  return names.has(name) ? undefined : `${file} has no test "${name}"`
}
