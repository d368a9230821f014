// Small questions about processes and network devices, answered from /proc.
//
// A process is named by its id and its start time, because the kernel gives ids out again. Nothing here signals anything.

import { readFileSync } from 'node:fs'
import { execFile } from 'node:child_process'
import { setTimeout as sleep } from 'node:timers/promises'

/** The process's start time in clock ticks since boot, or undefined when no such process runs (a zombie does not run). */
export function startTimeOf(pid: number): string | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8')
    // The second field is the command in brackets and may hold blanks: count from the last bracket.
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
    return fields[0] === 'Z' ? undefined : fields[19]
  } catch {
    // No /proc entry: no such process.
    return undefined
  }
}

/** Waits until the process is gone. False when it still runs at the deadline. */
export async function waitForExit(pid: number, startTime: string | undefined, deadlineMs: number): Promise<boolean> {
  if (startTime === undefined) return true
  const end = Date.now() + deadlineMs
  while (Date.now() < end) {
    if (startTimeOf(pid) !== startTime) return true
    await sleep(25)
  }
  return false
}

/** Runs a short command; resolves with its stdout, or undefined when it is missing or fails. */
export function tryCommand(command: string, args: string[], deadlineMs = 5_000): Promise<string | undefined> {
  return new Promise((resolve) => {
    execFile(command, args, { timeout: deadlineMs }, (error, stdout) => resolve(error ? undefined : stdout))
  })
}

/** Whether this network namespace has a device of that name. */
export function hasDevice(name: string): boolean {
  return readFileSync('/proc/self/net/dev', 'utf8').includes(`${name}:`)
}
