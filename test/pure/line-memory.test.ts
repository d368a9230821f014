import { expect, test } from 'vitest'
import { createLineMemory } from '../../runner-agent/engine/line-memory.ts'

const REMEMBERED = 16_384

const pieceOf = (count: number): Uint8Array => Buffer.from(`piece ${count}`)

test.each([1, 5_001])(
  'createLineMemory() remembers the latest 16,384 pieces of a stream that is read from piece %i',
  (first) => {
    const memory = createLineMemory()
    const last = first + 2 * REMEMBERED + 100
    for (let count = first; count <= last; count += 1) {
      memory.note(count, pieceOf(count))
      expect(memory.differs(count, pieceOf(count))).toBe(false)
    }
    const oldest = last - REMEMBERED + 1
    for (let count = oldest; count <= last; count += 1) {
      expect(memory.differs(count, pieceOf(count))).toBe(false)
      expect(memory.differs(count, pieceOf(count + 1))).toBe(true)
    }
    expect(memory.differs(oldest - 1, Buffer.from('another'))).toBe(false)
    expect(memory.differs(last + 1, Buffer.from('another'))).toBe(false)
  },
)

test.each([1, 15, 16, 17, 300])('createLineMemory() remembers all of a stream of %i pieces', (length) => {
  const memory = createLineMemory()
  for (let count = 1; count <= length; count += 1) memory.note(count, pieceOf(count))
  for (let count = 1; count <= length; count += 1) {
    expect(memory.differs(count, pieceOf(count))).toBe(false)
    expect(memory.differs(count, pieceOf(count + 1))).toBe(true)
  }
  expect(memory.differs(0, pieceOf(0))).toBe(false)
  expect(memory.differs(length + 1, pieceOf(0))).toBe(false)
})
