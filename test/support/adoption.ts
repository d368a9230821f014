// An agent is killed while its containers run, and started again: how long until the control plane has all of them in the
// new process's hands, and until each client has what was printed after the restart. For the test and for the benchmark.
import type { JobView } from '../../shared/job.ts'
import type { ManagedProcess } from './managed-process.ts'
import type { Printers } from './printers.ts'
import type { Client } from '../../shared/client/create-client.ts'

export interface Adoption {
  /** Containers that the new process took over, in their attempt. */
  readonly adopted: number
  /** From the restart of the process to the last of them, by the control plane's word. */
  readonly adoptedMs: number
  /** From the restart of the process until the last client had a line that was printed after it. */
  readonly flowingMs: number
}

const DEADLINE_MS = 30_000

export async function restartKilled(agent: ManagedProcess, printers: Printers, client: Client): Promise<Adoption> {
  await agent.stop('SIGKILL')
  const restartedAtMs = Date.now()
  agent.start()
  const flowingMs = (await printers.untilAllPrinted(restartedAtMs, DEADLINE_MS)) - restartedAtMs
  const jobs = await Promise.all(printers.all.map(({ id }) => client.show(id)))
  const adoptedAtMs = jobs.flatMap((job) =>
    adoptionsOf(job)
      .filter((atMs) => atMs >= restartedAtMs)
      .slice(0, 1),
  )
  return {
    adopted: jobs.filter((job, index) => job.attempts.length === 1 && adoptedAtMs[index] !== undefined).length,
    adoptedMs: Math.max(...adoptedAtMs) - restartedAtMs,
    flowingMs,
  }
}

function adoptionsOf(job: JobView): number[] {
  return job.transitions.filter(({ event }) => event === 'claimed').map(({ at }) => Date.parse(at))
}
