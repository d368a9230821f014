// For every project that runs containers: the machine's own engine.
import type { TestProject } from 'vitest/node'
import { giveEngine } from './engine-setup.ts'

export const setup = (project: TestProject): Promise<() => Promise<void>> => giveEngine(project)
