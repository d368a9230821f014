// Finds processes that a test run started and did not end.
//
// Every process of a run carries the run's mark in its environment, inherited from vitest: dockerd, containerd and its
// shims, nats-server, agents. So what is found is ours for certain, and nobody else's process is ever touched.

import { readFileSync, readdirSync } from 'node:fs'
import { startTimeOf, waitForExit } from '../../deploy/engine-process.ts'

export const runMark = 'DRAY_TEST_RUN'

/** Ends what still runs after a short grace, and says what it was. */
export async function endLeftovers(mark: string, graceMs = 3_000): Promise<string[]> {
  const left: string[] = []
  const end = Date.now() + graceMs
  for (const pid of marked(mark)) {
    const startTime = startTimeOf(pid)
    if (await waitForExit(pid, startTime, Math.max(100, end - Date.now()))) continue
    left.push(`${pid} ${readProc(pid, 'cmdline').split('\0').join(' ').trim().slice(0, 200)}`)
    if (startTimeOf(pid) === startTime) process.kill(pid, 'SIGKILL')
  }
  return left
}

function marked(mark: string): number[] {
  const wanted = `${runMark}=${mark}`
  return readdirSync('/proc')
    .map(Number)
    .filter((pid) => pid > 0 && pid !== process.pid && readProc(pid, 'environ').split('\0').includes(wanted))
}

function readProc(pid: number, file: string): string {
  try {
    return readFileSync(`/proc/${pid}/${file}`, 'utf8')
  } catch {
    // Gone meanwhile, or not ours to read.
    return ''
  }
}
