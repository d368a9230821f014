// Kinds of tests, in this order of trust: pure, contract, engine, e2e, edge, chaos (CONTRIBUTING.md says what belongs where).

import { defineConfig } from 'vitest/config'

const withEngine = { globalSetup: ['test/support/global-setup.ts'] }

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
      // Alone and last: it takes both cores for minutes.
      project('chaos', { testTimeout: 400_000, sequence: { groupOrder: 1 } }),
    ],
  },
})

function project(name: string, options: object) {
  return { extends: true as const, test: { name, include: [`test/${name}/**/*.test.ts`], ...options } }
}
