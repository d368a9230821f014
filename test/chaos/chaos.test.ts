// A short chaos run as part of the suite: real processes, a seeded nemesis, every promise checked at the end; and proof
// that a run leaves nothing behind, ended in order or not.

import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { createInterface } from 'node:readline'
import type { Readable } from 'node:stream'
import { expect, test } from 'vitest'
import { eventually } from '../support/eventually.ts'
import type { Report } from './report.ts'

interface Run extends Disposable {
  readonly stdout: Readable
  readonly stderr: Readable
  readonly ended: Promise<number | null>
  kill(signal: NodeJS.Signals): void
  /** Processes, mounts, loop devices and files of this run that are there now. */
  remains(): string[]
}

/** Everything of a run lies in a folder of its own, whose name is in the environment of all its processes. */
function start(minutes: number, seed: number): Run {
  const folder = mkdtempSync(path.join(tmpdir(), 'c-'))
  const args = [
    path.join(import.meta.dirname, 'main.ts'),
    '--minutes',
    String(minutes),
    '--seed',
    String(seed),
    '--json',
  ]
  const child = spawn(process.execPath, args, {
    env: { ...process.env, TMPDIR: folder },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  return {
    stdout: child.stdout,
    stderr: child.stderr,
    ended: once(child, 'close').then(([code]) => code as number | null),
    kill: (signal) => void child.kill(signal),
    remains: () => [
      ...readdirSync('/proc').filter((pid) => /^\d+$/.test(pid) && read(`/proc/${pid}/environ`).includes(folder)),
      ...read('/proc/self/mounts')
        .split('\n')
        .filter((line) => line.includes(folder)),
      ...readdirSync('/sys/block').filter((name) => read(`/sys/block/${name}/loop/backing_file`).includes(folder)),
      ...readdirSync(folder),
    ],
    [Symbol.dispose]: () => rmSync(folder, { recursive: true, force: true }),
  }
}

function read(file: string): string {
  try {
    return readFileSync(file, 'utf8')
  } catch {
    // No such process, or no file behind that loop device.
    return ''
  }
}

// Another seed each time would find more, and could not be told from a slow machine: the long runs vary it.
test('every promise is kept while everything is killed, cut off, filled up and rolled back', async () => {
  using run = start(2, 20_251)
  const said: string[] = []
  for (const stream of [run.stdout, run.stderr]) stream.on('data', (chunk: Buffer) => said.push(chunk.toString()))
  const code = await run.ended
  const text = said.join('')
  expect(code, text).toBe(0)
  const report = JSON.parse(text.split('\n').find((line) => line.startsWith('{')) ?? '{}') as Report
  expect(report).toMatchObject({
    lost: 0,
    doubled: 0,
    gaps: 0,
    stale_accepted: 0,
    orphan_containers: 0,
    cross_tenant: 0,
  })
  // A run in which nothing happened proves nothing.
  expect(report.terminal).toBe(report.accepted)
  expect(report.accepted).toBeGreaterThan(200)
  expect(Object.values(report.faults).reduce((sum, count) => sum + count, 0)).toBeGreaterThan(40)
  expect(run.remains()).toEqual([])
})

test.each(['SIGTERM', 'SIGKILL'] as const)(
  'a run that %s ends leaves no process, mount or loop device',
  async (signal) => {
    using run = start(1, 1)
    for await (const line of createInterface({ input: run.stderr })) if (line.includes('faults for')) break
    run.stdout.resume()
    run.stderr.resume()
    run.kill(signal)
    await run.ended
    // Killed hard, its folder is all that it could not take along.
    await eventually(
      () => {
        const left = run.remains()
        if (signal === 'SIGTERM') expect(left).toEqual([])
        else expect(left).toEqual([expect.stringContaining('dray-chaos-')])
      },
      { deadlineMs: 10_000 },
    )
  },
)
