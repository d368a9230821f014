// Two kinds of run. Harm: as many jobs as fit, and a fault every two seconds. Soak: few jobs and a fault for each hundred of
// them, none of which ends a process that must show that it does not grow.

import type { JobBook } from './job-book.ts'
import { pause } from './load.ts'
import type { NemesisOptions } from './nemesis.ts'

export interface RunKind {
  readonly jobEveryMs: number
  does(faultKind: string): boolean
  readonly due: NemesisOptions['due']
}

export const harm: RunKind = {
  jobEveryMs: 40,
  does: () => true,
  due: (random, enough) => pause(random.between(1_200, 2_600), enough),
}

const JOBS_PER_FAULT = 100
const LOOK_EVERY_MS = 250
/** A process that is killed begins to grow anew, and a store that is cut takes its process with it. */
const ENDS_A_PROCESS = /_kill$|_term$|^power_cut$|^nats_wiped$|^nats_rolled_back$|^disk_full$/

export function soaking(book: JobBook): RunKind {
  let next = JOBS_PER_FAULT
  return {
    jobEveryMs: 250,
    // The engines are not ours: theirs may die.
    does: (faultKind) => faultKind === 'engine_kill' || !ENDS_A_PROCESS.test(faultKind),
    async due(_random, enough) {
      while (book.all.length < next && !enough.aborted) await pause(LOOK_EVERY_MS, enough)
      next += JOBS_PER_FAULT
    },
  }
}
