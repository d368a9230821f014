// Where an attempt begins in the stream, by the first message that the stream has of it.
import { expect, test } from 'vitest'
import { firstSeqOf } from '../../control-plane/bus/stored-batch.ts'

const batch = (n: number, firstSeq?: number) => ({
  session: 'ses_1',
  n,
  updates: [{}],
  stdout_lines: 0,
  stderr_lines: 0,
  ...(firstSeq === undefined ? {} : { first_seq: firstSeq }),
})

test.each([
  ['is its true first one', batch(1), 120, 120],
  ['was stored anew in a stream that was put back: only what came since is cut off', batch(1, 100), 120, 100],
  ['was stored anew in a stream that was made anew, whose sequences begin again', batch(1, 500), 3, 3],
  ['is not its first, and nobody says where that was', batch(9), 120, 1],
  ['is not its first, and its agent says where that was', batch(9, 100), 120, 100],
  ['is junk', null, 120, 120],
])('firstSeqOf(): a message that %s', (_what, first, streamSeq, expected) => {
  expect(firstSeqOf(first, streamSeq)).toBe(expected)
})
