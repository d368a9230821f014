// A hint is said once: a read of the row that it caused and that failed must be made good soon, or clients wait for what
// is known already.
import { expect, test } from 'vitest'
import { watchRow } from '../../control-plane/core/relay-rows.ts'
import type { JobRecord } from '../../shared/job.ts'

/** Timers that the test lets run out. */
function handClock() {
  const timers = new Set<{ ms: number; callback: () => void }>()
  return {
    nowMs: () => 0,
    after(ms: number, callback: () => void) {
      const timer = { ms, callback }
      timers.add(timer)
      return () => void timers.delete(timer)
    },
    pending: () => [...timers].map(({ ms }) => ms),
    /** Runs the one timer there is and waits for what it began. */
    async run() {
      const [timer] = timers
      timers.clear()
      timer?.callback()
      await new Promise((resolve) => setTimeout(resolve))
    },
  }
}

test('watchRow() reads again soon after a read that failed, and then at its usual pace', async () => {
  const clock = handClock()
  const answers: (JobRecord | Error)[] = []
  const readJob = async (): Promise<JobRecord> => {
    const answer = answers.shift() ?? new Error('lost')
    if (answer instanceof Error) throw answer
    return answer
  }
  let hint = (): void => undefined
  const onHint = (_key: object, callback: () => void) => {
    hint = callback
    return () => undefined
  }
  const rows = watchRow({ store: { readJob }, bus: { onHint }, clock }, { tenant: 't', job: 'j' })
  expect(clock.pending()).toEqual([3_000])
  hint()
  await new Promise((resolve) => setTimeout(resolve))
  const waits: number[] = []
  for (let failure = 0; failure < 6; failure++) {
    waits.push(...clock.pending())
    await clock.run()
  }
  expect(waits).toEqual([250, 500, 1_000, 2_000, 3_000, 3_000])
  answers.push({ state: {} } as JobRecord)
  await clock.run()
  expect([rows.current(), clock.pending()]).toEqual([{ state: {} }, [3_000]])
  rows.close()
  expect(clock.pending()).toEqual([])
})
