// Counts test results for the closing line that `run-tests.ts` prints.
//
// Whatever goes wrong counts: a file that cannot be loaded, an error in a hook, an unhandled rejection, a killed worker.
// The counts go through file descriptor 3 when this process exits, after vitest has set its exit code.

import { fstatSync, writeSync } from 'node:fs'
import type { Reporter, TestModule } from 'vitest/node'

export interface TestCounts {
  passed: number
  failed: number
  skipped: string[]
}

const countsFd = 3

export default class CountingReporter implements Reporter {
  #counts: TestCounts = { passed: 0, failed: 0, skipped: [] }

  onInit(): void {
    process.once('exit', (code) => {
      const failed = code === 0 ? this.#counts.failed : Math.max(1, this.#counts.failed)
      if (isOpen(countsFd)) writeSync(countsFd, JSON.stringify({ ...this.#counts, failed }))
    })
  }

  onTestRunEnd(modules: readonly TestModule[], unhandled: readonly unknown[]): void {
    const counts: TestCounts = { passed: 0, failed: unhandled.length, skipped: [] }
    for (const module of modules) count(module, counts)
    this.#counts = counts
  }
}

function count(module: TestModule, counts: TestCounts): void {
  counts.failed += module.errors().length
  for (const suite of module.children.allSuites()) counts.failed += suite.errors().length
  for (const test of module.children.allTests()) {
    const { state } = test.result()
    if (state === 'passed') counts.passed += 1
    else if (state === 'skipped') counts.skipped.push(`${module.relativeModuleId}: ${test.fullName}`)
    // A test that never came to an end is a failure.
    else counts.failed += 1
  }
}

/** Under plain `npx vitest` nobody listens on descriptor 3. */
function isOpen(fd: number): boolean {
  try {
    return fstatSync(fd).isFIFO() || fstatSync(fd).isSocket()
  } catch {
    // Closed.
    return false
  }
}
