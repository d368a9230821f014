// The names of an agent's processes tell which one is newer, whatever the machine's clock does.
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { openStateFolder } from '../../runner-agent/state-folder.ts'
import { isName } from '../../shared/ids.ts'
import { beganBefore, newSession, startOf } from '../../shared/session-name.ts'

const timeMs = fc.integer({ min: 0, max: 4_000_000_000_000 })

test('newSession() is later than all before it, also when the clock went back', () => {
  fc.assert(
    fc.property(fc.array(timeMs, { minLength: 2, maxLength: 20 }), (clock) => {
      let previous: string | null = null
      for (const nowMs of clock) {
        const session: string = newSession(previous, nowMs)
        expect(isName(session)).toBe(true)
        if (previous !== null) {
          expect(beganBefore(previous, session)).toBe(true)
          expect(beganBefore(session, previous)).toBe(false)
        }
        previous = session
      }
    }),
  )
})

test('a name of an earlier version tells no order', () => {
  for (const name of ['ses_0199a8f0c8c07e3f9d5e0f7c5f5e5d5c', 's1', '', 'life_1', `life_${'g'.repeat(28)}`]) {
    expect(startOf(name)).toBeNull()
    expect(beganBefore(name, newSession(null, Date.now()))).toBe(false)
    expect(beganBefore(newSession(null, 0), name)).toBe(false)
    // What a folder holds by mistake stops no agent.
    expect(startOf(newSession(name, 5))).toBe('life_000000000005')
  }
})

test('a state folder gives each process a later name than the one before', async () => {
  const dir = await mkdtemp(join(tmpdir(), 'dray-session-'))
  try {
    const sessions: string[] = []
    for (let start = 0; start < 5; start += 1) {
      const folder = await openStateFolder(dir)
      sessions.push(await folder.nextSession())
      await folder.release()
    }
    for (const [index, session] of sessions.entries())
      expect(sessions.slice(index + 1).every((later) => beganBefore(session, later))).toBe(true)
  } finally {
    await rm(dir, { recursive: true, force: true })
  }
})
