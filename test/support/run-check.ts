// `npm run check`: types, lint, format, boundaries, dead code. One line for each; what is wrong follows under it.
//
// Everything runs even when something fails, so that one run shows all there is to mend. Exit code 1 if anything failed.

import { spawn } from 'node:child_process'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { boundaryFaults, cycleFaults, isPortable, portableFaults, sourceFolders } from './check-boundaries.ts'
import { readSources } from './imports.ts'

interface Outcome {
  isGood: boolean
  report: string
}

const root = join(import.meta.dirname, '..', '..')

const checks: Record<string, () => Promise<Outcome> | Outcome> = {
  types: () => tool('tsc', '-p', '.'),
  'types without Node': () => tool('tsc', '-p', 'tsconfig.portable.json'),
  lint: () => tool('oxlint', '--deny-warnings'),
  format: () => tool('oxfmt', '--check', ...sourceFolders),
  boundaries: checkBoundaries,
  'dead code': () => tool('knip', '--no-progress'),
}

for (const [name, check] of Object.entries(checks)) {
  const startedAt = performance.now()
  const { isGood, report } = await check()
  const seconds = ((performance.now() - startedAt) / 1000).toFixed(1)
  console.log(`${isGood ? 'ok    ' : 'FAILED'} ${name} (${seconds} s)`)
  if (isGood) continue
  console.log(report.trim())
  process.exitCode = 1
}

function checkBoundaries(): Outcome {
  const sources = readSources(root, sourceFolders)
  const portable = sources.filter(({ path }) => isPortable(path))
  const faults = [...boundaryFaults(sources), ...cycleFaults(sources), ...portable.flatMap(portableFaults)]
  return { isGood: faults.length === 0, report: faults.join('\n') }
}

async function tool(name: string, ...args: string[]): Promise<Outcome> {
  const child = spawn(join(root, 'node_modules', '.bin', name), args, { cwd: root, stdio: ['ignore', 'pipe', 'pipe'] })
  const exit = new Promise<number | null>((resolve, reject) => child.once('close', resolve).once('error', reject))
  const [out, err, code] = await Promise.all([text(child.stdout), text(child.stderr), exit])
  return { isGood: code === 0, report: out + err }
}
