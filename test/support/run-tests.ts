// `npm test`: runs vitest with whatever arguments were given, then looks for leftovers, then prints the closing line
// `N passed, N failed[, N skipped]` as the very last thing.
//
// The exit code is 0 only if every test passed and no process was left behind. Under `CI` a skipped test fails the run
// too: a missing part must not look like success. If vitest dies without counts, that is one failure.

import { spawn } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import type { Readable } from 'node:stream'
import { endLeftovers, runMark } from './leftovers.ts'
import type { TestCounts } from './reporter.ts'

const root = join(import.meta.dirname, '..', '..')

async function runVitest(args: string[], mark: string): Promise<TestCounts> {
  const vitest = join(root, 'node_modules', 'vitest', 'vitest.mjs')
  const reporters = [
    '--reporter',
    process.env['CI'] ? 'verbose' : 'default',
    '--reporter',
    join(import.meta.dirname, 'reporter.ts'),
  ]
  const child = spawn(process.execPath, [vitest, 'run', ...reporters, ...args], {
    cwd: root,
    env: { ...process.env, [runMark]: mark },
    stdio: ['ignore', 'inherit', 'inherit', 'pipe'],
  })
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => child.kill(signal))
  const exit = new Promise<void>((resolve, reject) => child.once('close', () => resolve()).once('error', reject))
  const counts = await text(child.stdio[3] as Readable)
  await exit
  return counts === '' ? { passed: 0, failed: 1, skipped: [] } : (JSON.parse(counts) as TestCounts)
}

const mark = randomUUID()
const counts = await runVitest(process.argv.slice(2), mark)
const left = existsSync('/proc/self/environ') ? await endLeftovers(mark) : []
for (const what of left) console.error(`left behind by the tests, ended now: ${what}`)
for (const name of counts.skipped) console.error(`skipped: ${name}`)
counts.failed += left.length
const refusedSkips = process.env['CI'] ? counts.skipped.length : 0
if (refusedSkips > 0) console.error('A skipped test fails the run under CI.')
process.exitCode = counts.failed + refusedSkips > 0 || counts.passed === 0 ? 1 : 0
const skipped = counts.skipped.length > 0 ? `, ${counts.skipped.length} skipped` : ''
console.log(`${counts.passed} passed, ${counts.failed} failed${skipped}`)
