// For the project that runs on the newer engine, which deploy/setup.sh fetches.
import type { TestProject } from 'vitest/node'
import { toolPath } from '../../deploy/tools.ts'
import { giveEngine } from './engine-setup.ts'

export const setup = (project: TestProject): Promise<() => Promise<void>> =>
  giveEngine(project, toolPath('newer-engine'))
