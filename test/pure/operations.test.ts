// docs/operations.md says what happens when something dies, and which test or nemesis proves it: each that it names exists,
// each fault of the catalogue has a row, and each metric that it tells to watch is one that there is.
import { readFileSync } from 'node:fs'
import path from 'node:path'
import { describe, expect, it } from 'vitest'
import { createRequestMetrics } from '../../control-plane/http/metrics.ts'
import { callerFaults } from '../chaos/faults-callers.ts'
import { linkFaults } from '../chaos/faults-links.ts'
import { processFaults } from '../chaos/faults-processes.ts'
import { storeFaults } from '../chaos/faults-stores.ts'
import type { FollowerOptions } from '../chaos/followers.ts'
import type { Stage } from '../chaos/stage.ts'
import { FAULTS } from '../sim/plan.ts'
import { cellsOf, faultOf, proofsIn } from '../support/named-tests.ts'

const page = readFileSync(path.join(import.meta.dirname, '../../docs/operations.md'), 'utf8')
const tables = page.split('\n').filter((line) => line.startsWith('| '))

/** Faults of processes and power, of network and time, of clients and load. */
const CATALOGUE = [
  [1, 3, 4, 6, 7, 9, 10, 12, 13, 15, 16, 18, 20, 21, 22, 23, 26, 27, 28, 29, 31, 32, 34, 35, 36, 38, 40],
  [41, 42, 44, 46, 48, 49, 51, 52, 54, 55, 57, 58, 60, 62],
  [63, 65, 66, 68, 70, 72, 74, 75],
].flat()

/** A stage without parts: the faults of a nemesis have their kinds whatever they hit. */
const bare = { name: '' }
const stage = {
  agents: [],
  controlPlanes: [],
  links: [],
  nats: bare,
  natsVolume: bare,
  databaseVolume: bare,
} as unknown as Stage
const kinds: Readonly<Record<string, ReadonlySet<string>>> = {
  chaos: new Set(
    [
      ...processFaults(stage),
      ...linkFaults(stage),
      ...storeFaults(stage),
      ...callerFaults({ stage } as FollowerOptions),
    ].map(({ kind }) => kind),
  ),
  simulation: new Set(Object.keys(FAULTS)),
}

/** What is wrong with a proof: a test, `chaos: kind, kind`, `simulation: kind`, or `— reason`. */
function wrongWith(proof: string): string[] {
  if (/^— \w/.test(proof)) return []
  const [, nemesis = '', list = ''] = /^(chaos|simulation): (.+)$/.exec(proof) ?? []
  const known = kinds[nemesis]
  if (!known) return [faultOf(proof) ?? []].flat()
  return list.split(', ').flatMap((kind) => (known.has(kind) ? [] : `${nemesis} has no fault "${kind}"`))
}

describe('docs/operations.md', () => {
  it('names tests and nemeses that exist', () => {
    const cells = tables.map((line) => cellsOf(line).at(-1) ?? '')
    const proofs = cells.filter((cell) => /^(`test\/|chaos: |simulation: |— )/.test(cell)).flatMap(proofsIn)
    expect(proofs.flatMap(wrongWith)).toEqual([])
    expect(proofs.length).toBeGreaterThan(80)
    expect(wrongWith('chaos: no_such_kind')).toHaveLength(1)
    expect(wrongWith('`test/pure/operations.test.ts` › no such test')).toHaveLength(1)
  })

  it('has a row for each fault of the catalogue, and says why where nothing covers one', () => {
    const rows = tables.filter((line) => /^\| \d+ \|/.test(line)).map(cellsOf)
    expect(rows.map(([number]) => Number(number))).toEqual(CATALOGUE)
    for (const [number, , proofs = ''] of rows) expect(proofsIn(proofs).length, number).toBeGreaterThan(0)
  })

  it('tells to watch metrics that there are', () => {
    const text = createRequestMetrics().text(
      {
        jobsByPhase: { queued: 0 },
        agentsByState: { ready: 0 },
        oldestUnclaimedMs: 0,
        databaseIncarnation: 1,
        updatesStreamChanges: 0,
      },
      0,
    )
    const named = Array.from(page.matchAll(/`(dray_\w+)/g), ([, name = '']) => name)
    expect(named.filter((name) => !text.includes(`# TYPE ${name} `))).toEqual([])
    const there = Array.from(text.matchAll(/^# TYPE (\w+)/gm), ([, name]) => name)
    expect(there.filter((name) => !named.includes(name ?? ''))).toEqual([])
  })
})
