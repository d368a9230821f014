// Gives each test run a state folder of its own that outlives it, so that the engine's images are loaded once.
//
// Two runs at the same time get different folders (`test`, `test-2`, …); a folder whose run was killed is taken over.

import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { startTimeOf } from '../../deploy/engine-process.ts'

export interface ClaimedFolder {
  path: string
  release(): void
}

export function claimFolder(parent: string, name: string): ClaimedFolder {
  for (let number = 1; number <= 16; number += 1) {
    const path = join(parent, number === 1 ? name : `${name}-${number}`)
    const owner = join(path, 'owner')
    mkdirSync(path, { recursive: true })
    if (isOwned(owner)) continue
    rmSync(owner, { force: true })
    try {
      writeFileSync(owner, `${process.pid} ${startTimeOf(process.pid)}`, { flag: 'wx' })
      return { path, release: () => rmSync(owner, { force: true }) }
    } catch {
      // Another run was faster with this one: take the next.
    }
  }
  throw new Error(`Sixteen test runs hold "${join(parent, name)}" and its like`)
}

function isOwned(path: string): boolean {
  try {
    const [pid, startTime] = readFileSync(path, 'utf8').split(' ')
    return startTimeOf(Number(pid)) === startTime
  } catch {
    // No owner file: free.
    return false
  }
}
