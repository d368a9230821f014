// docs/conformance.md says which test proves which sentence of the protocol. A test that was renamed or removed would turn
// a row into a claim without proof: this file finds such rows by a search of the text, without running anything.
import { readFileSync } from 'node:fs'
import path from 'node:path'
import { describe, expect, it } from 'vitest'
import { cellsOf, faultOf, namesIn, proofsIn } from '../support/named-tests.ts'

const ROOT = path.join(import.meta.dirname, '..', '..')
const page = readFileSync(path.join(ROOT, 'docs/conformance.md'), 'utf8')

interface Row {
  readonly section: string
  readonly sentence: string
  readonly proofs: readonly string[]
}

/** Rows of the tables: `| section | sentence | tests |`, several tests parted by <br>. */
function rowsOf(text: string): Row[] {
  return text
    .split('\n')
    .filter((line) => /^\| *[1-7]/.test(line))
    .map((line) => {
      const [section = '', sentence = '', proofs = ''] = cellsOf(line)
      return { section, sentence, proofs: proofsIn(proofs) }
    })
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
