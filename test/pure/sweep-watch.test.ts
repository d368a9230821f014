// For how long a control plane that was not there lets no lease run out.
import { expect, test } from 'vitest'
import { createSweepWatch } from '../../control-plane/core/sweep-watch.ts'

/** Which of these sweeps judge. */
function judging(timesMs: readonly number[]): number[] {
  const watch = createSweepWatch()
  return timesMs.filter((ms) => {
    const judges = watch.mayJudge(ms)
    watch.swept(ms)
    return judges
  })
}

test('a process that has just begun judges when agents had the time to be heard again', () => {
  expect(judging([10_000, 12_000, 14_000, 16_000])).toEqual([14_000, 16_000])
})

test('so does one that could not sweep for four seconds, though the database knows of a younger sweep', () => {
  expect(judging([0, 2_000, 4_000, 8_200, 10_200, 12_200])).toEqual([4_000, 12_200])
})

test('sweeps as far apart as those of a busy process judge', () => {
  expect(judging([0, 3_300, 6_600, 9_900])).toEqual([3_300, 6_600, 9_900])
})
