// One run: the stage, the load, the nemesis for so many minutes, a quiet time, the reading of everything, the verdict.
// Ends early, and in order, when `stop` aborts.

import { join } from 'node:path'
import { findingsOf } from './check-input.ts'
import { callerFaults } from './faults-callers.ts'
import { linkFaults } from './faults-links.ts'
import { processFaults } from './faults-processes.ts'
import { storeFaults } from './faults-stores.ts'
import { readEverything, untilAllEnded } from './final-read.ts'
import { runFollowers } from './followers.ts'
import { openHistory } from './history.ts'
import { createJobBook } from './job-book.ts'
import { pause, runLoad } from './load.ts'
import { runNemesis } from './nemesis.ts'
import { explain, judge, type Verdict } from './report.ts'
import { harm, soaking } from './run-kind.ts'
import { seeded } from './seeded.ts'
import { openStage } from './stage.ts'
import { tenantCalls } from './tenant-calls.ts'
import { watchContainers, watchFleet, watchProcesses } from './witnesses.ts'

export interface RunOptions {
  readonly dir: string
  readonly minutes: number
  readonly seed: number
  /** Long and quiet instead of short and rough. */
  readonly soak: boolean
  readonly say: (what: string) => void
  readonly stop: AbortSignal
}

const WARM_UP_MS = 3_000
const QUIET_MS = 12_000
/** Longest lost_after, a lease, back-offs. */
const SETTLE_MS = 60_000

export async function runChaos({ dir, minutes, seed, soak, say, stop }: RunOptions): Promise<Verdict> {
  const random = seeded(seed)
  await using made = new AsyncDisposableStack()
  const history = made.adopt(openHistory(join(dir, 'history.jsonl')), (it) => it.close())
  const stage = made.adopt(await openStage(dir, history, say), (it) => it.close())
  const startMs = Date.now()
  const book = createJobBook()
  const kind = soak ? soaking(book) : harm
  const [north, south] = stage.tenants
  const tenants = [north, south].map((tenant) => tenantCalls(stage, tenant, random.fork(tenant.name), history))
  const both = [tenants[0], tenants[1]] as Parameters<typeof runLoad>[0]['tenants']
  const submitting = new AbortController()
  const watching = new AbortController()
  const enough = AbortSignal.any([submitting.signal, stop])
  const over = AbortSignal.any([watching.signal, stop])
  const follow = { stage, tenants: both, book, history, random: random.fork('followers'), over }
  const work = Promise.all([
    runLoad({ tenants: both, book, history, random: random.fork('load'), everyMs: kind.jobEveryMs, enough, over }),
    runFollowers(follow),
    watchContainers(stage, history, over),
    watchFleet(stage, history, over),
    watchProcesses(stage, history, over),
  ])
  await pause(WARM_UP_MS, stop)
  say(`faults for ${minutes} min, seed ${seed}`)
  const every = [...processFaults(stage), ...linkFaults(stage), ...storeFaults(stage), ...callerFaults(follow)]
  const faults = every.filter((fault) => kind.does(fault.kind))
  const nemesis = new AbortController()
  const time = setTimeout(() => nemesis.abort(), minutes * 60_000)
  const until = AbortSignal.any([nemesis.signal, stop])
  await runNemesis({ faults, random: random.fork('nemesis'), history, due: kind.due, enough: until })
  clearTimeout(time)
  submitting.abort()
  say(`${book.all.length} jobs, ${book.live} of them live; quiet`)
  await pause(QUIET_MS, stop)
  const reading = { stage, tenants, book, history, over: stop }
  if (!(await untilAllEnded(reading, SETTLE_MS))) say('not all jobs have ended')
  watching.abort()
  await work
  say('reads everything')
  await readEverything(reading)
  const verdict = judge(history.events, minutes, { steady: soak })
  for (const remark of verdict.remarks) say(remark)
  for (const line of explain(verdict.violations, findingsOf(history.events).faults, startMs)) say(line)
  return verdict
}
