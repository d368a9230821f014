// The checker of a soak, fed with samples made by hand.

import { expect, test } from 'vitest'
import { checkGrowth, growthOf } from '../chaos/check-growth.ts'

const WARM_UP_MS = 5 * 60_000

test('what grows from minute to minute after the warm-up is found, what only breathes is not', () => {
  const minutes = Array.from({ length: 14 }, (_, minute) => minute)
  const sample = (minute: number) => ({
    op: 'rss' as const,
    t: minute * 60_000,
    // A heap breathes by much more than what it may grow in a minute.
    mb: { nats: 100 + minute * 3, 'cp-1': 100 + (minute % 2) * 40, 'cp-2': minute < 5 ? 100 * minute : 500 },
    fds: { nats: 10, 'cp-1': 20 + minute * 2, 'cp-2': 30 },
  })
  const events = minutes.map(sample)
  expect(growthOf(events, WARM_UP_MS)).toEqual({
    nats: { mb: 3, fds: 0 },
    'cp-1': { mb: 0, fds: 2 },
    'cp-2': { mb: 0, fds: 0 },
  })
  expect(checkGrowth(events, WARM_UP_MS).map(({ what }) => what.split(' ')[0])).toEqual(['nats', 'cp-1'])
  expect(
    checkGrowth(
      events.map((event) => ({ ...event, mb: { 'quick-1-engine': event.mb.nats } })),
      WARM_UP_MS,
    ),
  ).toEqual([])
})
