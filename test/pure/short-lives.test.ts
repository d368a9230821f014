// What a job or a connection held goes with it at V8's next small collection. Two ways of writing keep it until the next
// major one, tens of MiB later: a getter in an object literal, and a function that is written straight into a property.
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { readSources, withoutComments } from '../support/imports.ts'

const LONG = ['shared', 'control-plane/core', 'runner-agent']
const GETTER = /^\s+get \w+\(.*$/gm
const WRITTEN_STRAIGHT =
  /^\s*[\w.#]+\.#?\w+ (?:\?\?)?= (?:async )?(?:function\b|(?:\([^)\n]*\)|\w+)(?:: [^=\n]+)? =>).*$/gm

function pinned(text: string): string[] {
  const code = withoutComments(text)
  return [GETTER, WRITTEN_STRAIGHT].flatMap((pattern) => code.match(pattern) ?? []).map((line) => line.trim())
}

test.each(LONG)('%s is written in neither of the two ways', (folder) => {
  const sources = readSources(join(import.meta.dirname, '..', '..'), [folder])
  expect(sources.length).toBeGreaterThan(0)
  expect(sources.flatMap(({ path, text }) => pinned(text).map((line) => `${path}: ${line}`))).toEqual([])
})

test('both ways are seen', () => {
  expect(pinned('  return {\n    get size() {\n      return size\n    },\n  }')).toHaveLength(1)
  expect(pinned('  job.stop = (why: string): void => end(why)')).toHaveLength(1)
  expect(pinned('  this.#stop = async () => end()')).toHaveLength(1)
  expect(pinned('  const stop = (): void => end()\n  job.stop = stop')).toEqual([])
})
