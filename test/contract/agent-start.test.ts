// The engine starts a container and dies before it says so. The container has run: it must not run again.
import { expect, test } from 'vitest'
import { startAgentFixture } from '../support/agent-fixture.ts'
import { openEngineGate } from '../support/engine-gate.ts'

test('a container whose start was answered into the void has run once', async () => {
  await using gate = await openEngineGate()
  let lost = 0
  gate.onCall = async (call) => {
    if (lost > 0 || !/^POST \S*\/start(\?|$)/.test(call)) return 'answer'
    lost += 1
    return 'lose'
  }
  const fixture = await startAgentFixture(gate.socketPath)
  try {
    const job = fixture.controlPlane.submit('once', fixture.sh('echo once; exit 3'))
    expect(await fixture.finished(job)).toMatchObject({ exit: { code: 3 }, updates: 3 })
    expect(lost).toBe(1)
    const updates = await fixture.controlPlane.updates('once', 3)
    expect(updates.map(({ content }) => content).filter((content) => content !== undefined)).toEqual(['once'])
    await fixture.gone()
  } finally {
    await fixture.close()
  }
})
