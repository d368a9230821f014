// Kinds of tests, in this order of trust: pure, contract, engine, e2e, edge, chaos (CONTRIBUTING.md says what belongs where).

import { existsSync } from 'node:fs'
import { defineConfig } from 'vitest/config'
import { toolPath } from './deploy/tools.ts'

const withEngine = { globalSetup: ['test/support/global-setup.ts'] }

/** What Docker's log, its events and a take-over look like differs between engines: these run on a second one as well. */
const ON_NEWER_ENGINE = [
  'test/contract/agent-{faults,overlap,start}.test.ts',
  'test/engine/{attach,engine-restart,exit,kill-without-effect,output-source,start-faults}.test.ts',
  'test/e2e/{adoption,agent-death,engine-death}.test.ts',
]
// Where it cannot be fetched, the set-up has said so.
const newerEngine = existsSync(toolPath('newer-engine')) ? [newerEngineProject()] : []

export default defineConfig({
  test: {
    pool: 'forks',
    // More workers than cores make every file slower: measured 24 s against 15 s on two cores.
    maxWorkers: 2,
    projects: [
      // Pure tests share no state, so they can share a process: ten times faster.
      project('pure', { isolate: false, testTimeout: 20_000 }),
      // One file, which has both cores to itself in two threads of its own.
      project('sim', { testTimeout: 300_000 }),
      project('contract', { ...withEngine, testTimeout: 20_000, hookTimeout: 30_000 }),
      project('engine', { ...withEngine, testTimeout: 30_000, hookTimeout: 30_000 }),
      project('e2e', { ...withEngine, testTimeout: 60_000, hookTimeout: 60_000 }),
      project('edge', { ...withEngine, testTimeout: 60_000, hookTimeout: 60_000 }),
      ...newerEngine,
      // Alone and last: it takes both cores for minutes.
      project('chaos', { testTimeout: 400_000, sequence: { groupOrder: 1 } }),
    ],
  },
})

function project(name: string, options: object) {
  return { extends: true as const, test: { name, include: [`test/${name}/**/*.test.ts`], ...options } }
}

function newerEngineProject() {
  const options = { globalSetup: ['test/support/newer-engine-setup.ts'], testTimeout: 60_000, hookTimeout: 60_000 }
  return { extends: true as const, test: { name: 'newer engine', include: ON_NEWER_ENGINE, ...options } }
}
