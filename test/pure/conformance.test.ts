// docs/conformance.md says which test proves which sentence of the protocol. A test that was renamed or removed would turn
// a row into a claim without proof: this file finds such rows by a search of the text, without running anything.
import { existsSync, readFileSync } from 'node:fs'
import path from 'node:path'
import { describe, expect, it } from 'vitest'

const ROOT = path.join(import.meta.dirname, '..', '..')
const page = readFileSync(path.join(ROOT, 'docs/conformance.md'), 'utf8')

interface Row {
  readonly section: string
  readonly sentence: string
  readonly proofs: readonly string[]
}

const SEPARATOR = ' › '

/** Rows of the tables: `| section | sentence | tests |`, several tests parted by <br>. */
function rowsOf(text: string): Row[] {
  return text
    .split('\n')
    .filter((line) => /^\| *[1-7]/.test(line))
    .map((line) => {
      const cells = line.split(/(?<!\\)\|/).map((cell) => cell.trim().replaceAll('\\|', '|'))
      const [, section = '', sentence = '', proofs = ''] = cells
      return { section, sentence, proofs: proofs.split('<br>').flatMap((proof) => proof.trim() || []) }
    })
}

/** The names as they are written in a file, before `each` fills in its values. */
function namesIn(file: string): Set<string> {
  const source = readFileSync(path.join(ROOT, file), 'utf8')
  const calls = source.matchAll(/(?:\b(?:it|test)\(|\)\()\s*(['"`])((?:\\.|(?!\1).)*)\1/gs)
  return new Set(Array.from(calls, ([, , name = '']) => name.replaceAll(/\\(.)/gs, '$1')))
}

const known = new Map<string, Set<string>>()

/** What is wrong with `file › name`, or nothing. */
function faultOf(proof: string): string | undefined {
  const [quoted = '', ...rest] = proof.split(SEPARATOR)
  const file = /^`(test\/[\w./-]+\.ts)`$/.exec(quoted)?.[1]
  const name = rest.join(SEPARATOR)
  if (file === undefined || name === '') return `"${proof}" is not of the form \`test/….ts\` › name`
  if (!existsSync(path.join(ROOT, file))) return `there is no file ${file}`
  const names = known.get(file) ?? namesIn(file)
  known.set(file, names)
  return names.has(name) ? undefined : `${file} has no test "${name}"`
}

const rows = rowsOf(page)

describe('docs/conformance.md', () => {
  it('names a test for every sentence, and every test that it names exists', () => {
    const faults = rows.flatMap(({ sentence, proofs }) =>
      proofs.length === 0 ? [`no test for: ${sentence}`] : proofs.flatMap((proof) => faultOf(proof) ?? []),
    )
    expect(faults).toEqual([])
  })

  it('has each sentence once, and rows for every part of the protocol', () => {
    const sentences = rows.map(({ section, sentence }) => `${section} ${sentence}`)
    expect(sentences.filter((sentence, index) => sentences.indexOf(sentence) !== index)).toEqual([])
    expect([...new Set(rows.map(({ section }) => section.charAt(0)))]).toEqual(['1', '2', '3', '4', '5', '7'])
    expect(rows.length).toBeGreaterThan(200)
  })

  it('is read as it is meant: rows, several tests, names with quotes and values', () => {
    const text = '| 1 | a \\| b | `test/a.ts` › one<br>`test/b.ts` › two › three |\n|---|---|---|\n| § | not a row | |'
    expect(rowsOf(text)).toEqual([
      { section: '1', sentence: 'a | b', proofs: ['`test/a.ts` › one', '`test/b.ts` › two › three'] },
    ])
    expect(faultOf('`test/pure/conformance.test.ts` › no such test')).toContain('has no test')
    expect(faultOf('`test/none.ts` › x')).toContain('no file')
    expect(faultOf('test/pure/conformance.test.ts')).toContain('not of the form')
    expect(namesIn('test/pure/names.test.ts')).toContain(
      'seqOf() is a safe integer that attemptOf() and nOf() take apart again',
    )
    expect(namesIn('test/e2e/exits.test.ts')).toContain('%s is told as what it is')
  })
})
