// Two living processes of one agent: a restart that overlaps, or a copied state folder. The newer one takes over what it
// finds, and the older one is still at work on it.
import { afterAll, beforeAll, expect, test } from 'vitest'
import { startAgentFixture, type AgentFixture } from '../support/agent-fixture.ts'
import { openEngineGate, type EngineGate } from '../support/engine-gate.ts'
import { eventually } from '../support/eventually.ts'
import type { ScriptedJob } from '../support/scripted-control-plane.ts'

let gate: EngineGate
let fixture: AgentFixture

beforeAll(async () => {
  gate = await openEngineGate()
  fixture = await startAgentFixture(gate.socketPath)
})

afterAll(async () => {
  await fixture.close()
  await gate[Symbol.asyncDispose]()
})

const answer = async () => 'answer' as const

/** A container that its process has created and not started, and that process gone. */
async function leaveCreated(name: string): Promise<{ job: ScriptedJob; id: string }> {
  const { controlPlane, nats } = fixture
  await nats.kill()
  const grant = { resume: { n: 0, stdout_lines: 0, stderr_lines: 0, subject_seq: 0, session: null } }
  const script = fixture.sh('echo once; sleep 1; exit 3')
  const job = controlPlane.submit(name, script, { attempt: 2, wake: false, grant })
  await eventually(async () => expect(await fixture.containers()).toMatchObject([{ state: 'created' }]))
  await fixture.agent.close()
  await nats.start()
  const [left] = await fixture.containers()
  return { job, id: left?.id ?? '' }
}

/** That it ended as its container did, and that its container ran once. */
async function expectOneRun({ job, id }: { job: ScriptedJob; id: string }): Promise<void> {
  expect(await fixture.finished(job)).toMatchObject({ attempt: 2, exit: { code: 3, reason: 'exited' } })
  const { updates = 0 } = job.finish ?? {}
  const said = await fixture.controlPlane.updates(job.key.job, updates, 2)
  expect(said.flatMap(({ content }) => content ?? [])).toEqual(['once'])
  await fixture.gone()
  expect(id).not.toBe('')
}

/** Before the first call that `isMoment` knows, the other process acts. Tells how often the container was started since. */
function actOnce(isMoment: (call: string) => boolean, act: () => Promise<void>): () => number {
  let acted = false
  let starts = 0
  gate.onCall = async (call) => {
    if (/^POST \S*\/start(\?|$)/.test(call)) starts += 1
    if (acted || !isMoment(call)) return 'answer'
    acted = true
    await act()
    return 'answer'
  }
  return () => starts
}

test('a container that its process starts while the next one removes it is taken over', async () => {
  const left = await leaveCreated('started-meanwhile')
  const startsOfOurs = actOnce(
    (call) => call.startsWith('DELETE'),
    () => fixture.engine.startContainer(left.id),
  )
  await fixture.startAgent()
  await expectOneRun(left)
  expect(startsOfOurs()).toBe(0)
  gate.onCall = answer
})

test('a container that was made anew in the place of the one that was found is taken over', async () => {
  const left = await leaveCreated('made-anew')
  const { Name, Config, HostConfig } = await fixture.engine.inspectContainer(left.id)
  const options = { Image: Config.Image, Cmd: Config.Cmd, Labels: Config.Labels, HostConfig }
  const startsOfOurs = actOnce(
    (call) => call.includes(`/containers/${left.id}/json`),
    async () => {
      await fixture.engine.removeContainer(left.id)
      const { id } = await fixture.engine.createContainer(Name.slice(1), options)
      await fixture.engine.startContainer(id)
    },
  )
  await fixture.startAgent()
  await expectOneRun(left)
  expect(startsOfOurs()).toBe(0)
  gate.onCall = answer
})
