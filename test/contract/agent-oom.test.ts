// An engine with both cores busy hears of the end before it hears why: its state then says OOMKilled false for ever, and
// its event `oom` comes some 40 ms later. The gate makes a real engine's answers read so.
import { expect, test } from 'vitest'
import { startAgentFixture } from '../support/agent-fixture.ts'
import { openEngineGate } from '../support/engine-gate.ts'

test('a lack of memory that the engine hears of after the end is oom all the same', async () => {
  await using gate = await openEngineGate()
  let asked = 0
  let concealed = 0
  gate.onCall = async (call) => {
    if (call.startsWith('GET /events')) asked += 1
    return 'answer'
  }
  gate.onOutput = (text) => {
    const state = text.replace('"OOMKilled":true,"Dead":false', '"OOMKilled":false,"Dead":null')
    if (state !== text) concealed += 1
    // Of the same length, as its header says. The first time it has not come yet.
    return asked === 1 ? state.replaceAll('"oom"', '"top"') : state
  }
  const fixture = await startAgentFixture(gate.socketPath)
  try {
    const job = fixture.controlPlane.submit('late-oom', {
      ...fixture.sh('x=x; while true; do x=$x$x; done'),
      resources: { memory: '16m' },
    })
    expect(await fixture.finished(job)).toMatchObject({
      exit: { code: 137, oom_killed: true, reason: 'oom' },
      error: { code: 'oom' },
    })
    expect({ asked, isConcealed: concealed > 0 }).toEqual({ asked: 2, isConcealed: true })
  } finally {
    await fixture.close()
  }
})
