// What the real agent does at the edges of the protocol: commands that are repeated or forged, its time-out over a restart, what
// its heartbeats carry, a finish that is refused for what it says.
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import type { FinishBody } from '../../shared/agent-protocol.ts'
import { createControlPlane } from '../../runner-agent/control-plane-client.ts'
import { sendFinish } from '../../runner-agent/job-finish.ts'
import { startAgentFixture, type AgentFixture } from '../support/agent-fixture.ts'
import { eventually } from '../support/eventually.ts'
import { endServers, serve } from '../support/scripted-server.ts'

let fixture: AgentFixture
beforeAll(async () => {
  fixture = await startAgentFixture()
})
afterAll(() => fixture.close())
afterEach(endServers)

describe('a run command', () => {
  test('that is repeated starts one container, and one that is forged starts none', async () => {
    const { controlPlane } = fixture
    const job = controlPlane.submit('repeated', fixture.sh('echo once; sleep 0.5'))
    for (let time = 0; time < 5; time += 1)
      controlPlane.bus.publishRun(controlPlane.agentId, { ...job.key, image: null })
    const forged = { tenant: 'default', job: 'forged', attempt: 1, image: 'busybox' }
    controlPlane.bus.publishRun(controlPlane.agentId, forged)
    await controlPlane.updates('repeated', 3)
    expect(await fixture.containers()).toHaveLength(1)
    expect(await fixture.finished(job)).toMatchObject({ exit: { code: 0 }, updates: 3 })
    await fixture.gone()
    await eventually(() => expect(controlPlane.held()).toEqual([]))
  })
})

describe('a heartbeat', () => {
  test('lists an attempt from before its claim on, and tells how far it has come', async () => {
    const { controlPlane } = fixture
    controlPlane.away.add('claim')
    const job = controlPlane.submit('listed', fixture.sh('echo a; echo b; echo c >&2; sleep 1'))
    await eventually(() => expect(controlPlane.held()).toMatchObject([{ job: 'listed', attempt: 1, n: 0 }]))
    expect(job.claims).toBe(0)
    controlPlane.away.clear()
    await eventually(
      () =>
        expect(controlPlane.held()).toEqual([
          { tenant: 'default', job: 'listed', attempt: 1, phase: 'running', n: 5, stdout_lines: 2, stderr_lines: 1 },
        ]),
      { deadlineMs: 10_000 },
    )
    const beats = controlPlane.beats.map(({ beat }) => beat)
    expect(beats).toEqual(beats.toSorted((left, right) => left - right))
    expect(new Set(beats).size).toBe(beats.length)
    await fixture.finished(job)
    await fixture.gone()
  })
})

describe('a time-out', () => {
  test('counts from the start of the container: a restart of the agent does not extend it', async () => {
    const { controlPlane } = fixture
    const job = controlPlane.submit('timed', {
      ...fixture.sh('echo up; sleep 1.5; echo late; sleep 60'),
      timeout_seconds: 2,
      stop_grace_seconds: 1,
    })
    // Two of the agent, two of the container: an agent that counted anew from here would stop it at 3.5 s.
    await controlPlane.updates('timed', 4)
    await fixture.agent.close()
    await fixture.startAgent()
    const { exit, started_at: startedAt, finished_at: finishedAt } = await fixture.finished(job)
    expect(exit).toMatchObject({ reason: 'timeout' })
    const ranMs = Date.parse(finishedAt) - Date.parse(String(startedAt))
    expect(ranMs).toBeGreaterThan(1_900)
    expect(ranMs).toBeLessThan(3_200)
    await fixture.gone()
  })
})

describe('a finish', () => {
  test('that is refused for what it says is sent again without its result', async () => {
    const answers = [422, 200]
    const server = await serve(
      () => undefined,
      () => ({ status: answers.shift() ?? 500, body: { code: 'bad_request', detail: 'no' } }),
    )
    const log = { info: () => undefined, warn: () => undefined, error: () => undefined }
    const job = {
      deps: { controlPlane: createControlPlane({ url: server.url, session: 'ses_1', key: () => 'agent_key' }), log },
      key: { tenant: 't', job: 'j', attempt: 1 },
      control: { letGo: new AbortController().signal },
      lastN: () => 7,
    } as unknown as Parameters<typeof sendFinish>[0]
    const end = {
      outcome: { exit: { code: 0, oom_killed: false, reason: 'exited' }, result: { out: ['strange'] } },
      startedAt: '2026-11-25T10:00:00Z',
      finishedAt: '2026-11-25T10:00:01Z',
      imageDigest: null,
      containerId: null,
      handedOver: Promise.resolve(),
    } as const
    await sendFinish(job, end)
    const [first, second] = server.requests.map(({ body }) => body as FinishBody)
    expect(first).toMatchObject({ attempt: 1, result: { out: ['strange'] }, updates: 7 })
    expect(second).toEqual({ ...first, result: undefined })
    expect(second).not.toHaveProperty('result')
    expect(server.requests).toHaveLength(2)
  })
})
