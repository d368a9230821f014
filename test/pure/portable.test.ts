// What runs on Node, Deno and workerd alike uses Web APIs only, and says so in its first line.

import { join } from 'node:path'
import { expect, test } from 'vitest'
import { portableFaults, portableFolders } from '../support/check-boundaries.ts'
import { readSources, sourceFile } from '../support/imports.ts'

const root = join(import.meta.dirname, '..', '..')
const head = '// Portable: Web APIs only.\n'

test.each(portableFolders)('every file in %s is portable', (folder) => {
  const sources = readSources(root, [folder])
  expect(sources.length).toBeGreaterThan(0)
  expect(sources.flatMap(portableFaults)).toEqual([])
})

test.each([
  ['no first line', 'export const a = 1'],
  ['a Node module', `${head}import { readFileSync } from 'node:fs'`],
  ['Buffer', `${head}export const a = Buffer.from('a')`],
  ['process', `${head}export const a = process.env`],
  ['Deno', `${head}export const a = Deno.env`],
])('portableFaults() sees %s', (_, text) => {
  expect(portableFaults(sourceFile('shared/a.ts', text))).toHaveLength(1)
})

test('portableFaults() does not mind the words in comments, strings and member names', () => {
  const text = `${head}// process.env and Buffer.from\nexport const a = 'process.env'\nexport const b = job.process(a)\n`
  expect(portableFaults(sourceFile('shared/a.ts', text))).toEqual([])
})
