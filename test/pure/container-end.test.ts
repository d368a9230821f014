// Whose kill it was: ours, that of a process which died before it said so, or a restarting engine's.
import { describe, expect, test } from 'vitest'
import { containerEnd, UNKNOWN_END, type EndFacts } from '../../runner-agent/container-end.ts'
import { NO_MEMORY } from '../../runner-agent/engine/engine-memory.ts'
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

describe('the end of a container', () => {
  const FACTS: EndFacts = {
    ...END,
    oomKilled: false,
    uninterrupted: true,
    memory: NO_MEMORY,
    signal: undefined,
    sentAtMs: null,
    reason: null,
    earlier: null,
  }
  const LATER = { sawStart: false, sawEnd: true, sawOom: false }
  const SAME = { sawStart: true, sawEnd: true, sawOom: false }
  const by = (code: number, killedBy: unknown = null) => ({ code, oomKilled: false, killedBy })
  const sent = { signal: 'SIGTERM', sentAtMs: Date.parse(END.finishedAt) - 50, reason: 'cancelled' } as const
  test.each([
    ['by a signal of nobody that we know', {}, by(143)],
    ['by our signal', sent, { ...by(143, 'cancelled'), signal: 'SIGTERM' }],
    ['by itself before our signal', { ...sent, code: 0, sentAtMs: Date.parse(END.finishedAt) + 1 }, by(0)],
    ['by an engine that started again and stopped it', { uninterrupted: false }, UNKNOWN_END],
    ['by an engine that started again and killed it', { code: 137, uninterrupted: false }, UNKNOWN_END],
    ['without its supervisor', { code: 255, uninterrupted: false }, UNKNOWN_END],
    ['without its supervisor, as we wished', { ...sent, code: 255, uninterrupted: false }, UNKNOWN_END],
    ['by itself while the engine was restarted', { code: 3, uninterrupted: false }, by(3)],
    [
      'by itself while no engine was there: its last output is lost',
      { code: 0, uninterrupted: false, memory: { sawStart: false, sawEnd: false, sawOom: false } },
      { ...by(0), unheard: true },
    ],
    [
      'by itself under an engine that found it',
      { code: 0, memory: { sawStart: false, sawEnd: true, sawOom: false } },
      by(0),
    ],
    ['without its supervisor while no agent was there', { code: 255, memory: LATER }, UNKNOWN_END],
    ['by the next engine while no agent was there', { code: 137, memory: LATER }, UNKNOWN_END],
    ['by an engine that was asked to end, and told it', { memory: LATER }, UNKNOWN_END],
    ['with 255 of its own under one engine', { code: 255, uninterrupted: false, memory: SAME }, by(255)],
    ['by somebody else under one engine', { code: 137, memory: SAME }, by(137)],
    ['with 255 of its own', { code: 255 }, by(255)],
    ['by the process before', { earlier: { ...NOTHING, timeoutSeconds: 5 } }, by(143, 'timeout')],
    [
      'by the process before, and the engine was restarted too',
      { uninterrupted: false, earlier: { ...NOTHING, timeoutSeconds: 5 } },
      by(143, 'timeout'),
    ],
  ] as const)('%s', (_, facts, end) => {
    expect(containerEnd({ ...FACTS, ...facts })).toEqual(end)
  })
})
