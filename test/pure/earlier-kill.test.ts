// What can still be told of a kill whose sender died before it said so.
import { describe, expect, test } from 'vitest'
import { earlierKill, type EarlierEnd, type KillReasons } from '../../runner-agent/earlier-kill.ts'

const END: EarlierEnd = {
  code: 143,
  startedAt: '2026-01-01T00:00:00.000000001Z',
  finishedAt: '2026-01-01T00:00:05.100000001Z',
  stopSignal: 'SIGTERM',
}
const NOTHING: KillReasons = { timeoutSeconds: null, cancelRequested: false, overItsOutput: false }

describe('a container that an earlier process may have killed', () => {
  test.each([
    ['its time was over', {}, { timeoutSeconds: 5 }, 'timeout'],
    ['its time was over and then it was cancelled', {}, { timeoutSeconds: 5, cancelRequested: true }, 'timeout'],
    ['it ended before its time was over', {}, { timeoutSeconds: 6 }, null],
    ['it was cancelled', {}, { cancelRequested: true }, 'cancelled'],
    ['it was cancelled and did not obey', { code: 137 }, { cancelRequested: true }, 'cancelled'],
    [
      'it was cancelled by a signal of its own',
      { code: 130, stopSignal: 'SIGINT' },
      { cancelRequested: true },
      'cancelled',
    ],
    ['it printed too much', { code: 137 }, { overItsOutput: true }, 'output_limit'],
    ['a failure of its own came before', { code: 3 }, { timeoutSeconds: 5, cancelRequested: true }, null],
    ['somebody else killed it', { code: 137 }, {}, null],
  ] as const)('%s', (_, end, reasons, kill) => {
    expect(earlierKill({ ...END, ...end }, { ...NOTHING, ...reasons })).toBe(kill)
  })
})
