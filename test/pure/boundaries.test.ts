// The folder table holds for the whole repository, and the checker sees what it should see.

import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { boundaryFaults, cycleFaults, sourceFolders } from '../support/check-boundaries.ts'
import { readSources, sourceFile } from '../support/imports.ts'

const sources = readSources(join(import.meta.dirname, '..', '..'), sourceFolders)

test('no file imports what its folder may not import', () => {
  expect(sources.length).toBeGreaterThan(20)
  expect(boundaryFaults(sources)).toEqual([])
})

test('no import goes in a circle', () => {
  expect(cycleFaults(sources)).toEqual([])
})

describe('boundaryFaults()', () => {
  const fault = (path: string, text: string) => boundaryFaults([sourceFile(path, text)])

  test.each([
    ['shared/a.ts', "import { x } from 'node:fs'"],
    ['shared/a.ts', "import type { x } from '../control-plane/core/ports.ts'"],
    ['control-plane/core/a.ts', "export { x } from 'hono'"],
    ['control-plane/core/a.ts', "const x = await import('../store/a.ts')"],
    ['control-plane/http/a.ts', "import {\n  x,\n  y,\n} from 'drizzle-orm/libsql'"],
    ['runner-agent/a.ts', "import { x } from '../control-plane/core/a.ts'"],
    ['cli/ps.ts', "import { x } from '../runner-agent/main.ts'"],
    ['deploy/a.ts', "import '../test/support/eventually.ts'"],
    ['elsewhere/a.ts', ''],
  ])('sees the fault in %s: %s', (path, text) => {
    expect(fault(path, text)).toHaveLength(1)
  })

  test.each([
    ['shared/a.ts', "import { z } from 'zod'\nimport { b } from './b.ts'"],
    ['cli/up.ts', "import { x } from '../runner-agent/main.ts'\nimport { y } from './ps.ts'"],
    ['control-plane/bus/a.ts', "import { connect } from '@nats-io/transport-node'"],
    ['shared/a.ts', "// import { x } from 'hono'\nconst text = 'import x from y'"],
  ])('accepts %s: %s', (path, text) => {
    expect(fault(path, text)).toEqual([])
  })
})

test('cycleFaults() sees a circle of three, type imports included', () => {
  const files = [
    sourceFile('shared/a.ts', "import type { b } from './b.ts'"),
    sourceFile('shared/b.ts', "import { c } from './c.ts'"),
    sourceFile('shared/c.ts', "export * from './a.ts'"),
  ]
  expect(cycleFaults(files)).toEqual(['import cycle: shared/a.ts -> shared/b.ts -> shared/c.ts -> shared/a.ts'])
})
