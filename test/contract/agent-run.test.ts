// One job from the command to nothing left, by the real agent on a real engine.
import { afterAll, beforeAll, describe, expect, inject, test } from 'vitest'
import { startAgentFixture, type AgentFixture } from '../support/agent-fixture.ts'
import { eventually } from '../support/eventually.ts'

let fixture: AgentFixture

beforeAll(async () => {
  fixture = await startAgentFixture()
})

afterAll(() => fixture.close())

describe('a job', () => {
  test('goes from the command to its updates, its finish, and nothing left', async () => {
    const { controlPlane } = fixture
    const finish = await fixture.finished(
      controlPlane.submit('hello', fixture.sh('echo one; echo two >&2; printf three')),
    )
    expect(finish).toMatchObject({
      attempt: 1,
      exit: { code: 0, oom_killed: false, reason: 'exited' },
      result: {},
      updates: 5,
    })
    expect(finish.image_digest).toMatch(/^sha256:/)
    const updates = await controlPlane.updates('hello', 5)
    expect(updates.map(({ n }) => n)).toEqual([1, 2, 3, 4, 5])
    expect(updates.slice(0, 2)).toMatchObject([
      { phase: 'creating', status: 'starting' },
      { phase: 'running', status: 'running' },
    ])
    expect(updates.filter(({ stream }) => stream === 'stdout')).toMatchObject([
      { content: 'one' },
      { content: 'three', eol: false },
    ])
    expect(updates.filter(({ stream }) => stream === 'stderr')).toMatchObject([{ content: 'two' }])
    await fixture.gone()
  })

  test('gets its input and its environment, and gives its result', async () => {
    const { controlPlane } = fixture
    const line = '{"type":"job_update","status":"completed","result":{"out":["hi"]},"job_id":"theirs"}'
    const script = `read first; test "$first" = "{" && test "$A" = job && cat >/dev/null && echo '${line}'`
    const job = controlPlane.submit('request', {
      ...fixture.sh(script),
      request: { env: { A: 'request' } },
      env: { A: 'job' },
    })
    expect(await fixture.finished(job)).toMatchObject({ exit: { code: 0 }, result: { out: ['hi'] } })
    const updates = await controlPlane.updates('request', 3)
    expect(updates.at(-1)).toMatchObject({
      status: 'running',
      container_status: 'completed',
      job_id: 'request',
      container_job_id: 'theirs',
    })
  })

  test('gives back a large binary input', async () => {
    const { controlPlane } = fixture
    const base64 = Buffer.alloc(3_000_000, 'binary\0\xff').toString('base64')
    const job = controlPlane.submit('stdin', { ...fixture.sh('wc -c'), stdin: { base64 } })
    await fixture.finished(job)
    expect((await controlPlane.updates('stdin', 3)).at(-1)).toMatchObject({ content: '3000000' })
  })

  test('fails with its exit code and the end of its stderr', async () => {
    const job = fixture.controlPlane.submit('exit-3', fixture.sh('echo why >&2; exit 3'))
    expect(await fixture.finished(job)).toMatchObject({
      exit: { code: 3, reason: 'exited' },
      error: { code: 'exit_nonzero', message: 'why' },
    })
  })

  test('whose command is missing could not start, with code 127', async () => {
    const job = fixture.controlPlane.submit('no-command', {
      image: inject('busyboxImage'),
      command: ['/no/such'],
      network: 'none',
    })
    expect(await fixture.finished(job)).toMatchObject({ exit: { code: 127 }, error: { code: 'start_failed' } })
    await fixture.gone()
  })

  test('whose image is not there and may not be pulled has no container', async () => {
    const job = fixture.controlPlane.submit('no-image', { image: 'nowhere/none:1', pull: 'never' })
    expect(await fixture.finished(job)).toMatchObject({
      exit: { code: null },
      error: { code: 'image_not_found' },
      started_at: null,
    })
  })

  test('that uses too much memory is oom', async () => {
    const script = 'x=x; while true; do x=$x$x; done'
    const job = fixture.controlPlane.submit('oom', { ...fixture.sh(script), resources: { memory: '16m' } })
    expect(await fixture.finished(job)).toMatchObject({
      exit: { code: 137, oom_killed: true, reason: 'oom' },
      error: { code: 'oom' },
    })
  })

  test('whose container somebody removes is not ended by us', async () => {
    const job = fixture.controlPlane.submit('removed', fixture.sh('sleep 60'))
    await fixture.controlPlane.updates('removed', 2)
    for (const { id } of await fixture.containers()) await fixture.engine.removeContainer(id)
    // The removal kills it first: whether its end can still be asked for is a race between the engine's own steps.
    const { error } = await fixture.finished(job)
    expect(['engine_lost', 'exit_nonzero']).toContain(error?.code)
  })

  test('is cancelled with its grace, which a second cancel shortens', async () => {
    const job = fixture.controlPlane.submit(
      'cancel',
      fixture.sh('trap "" TERM; echo up; while true; do sleep 0.1; done'),
    )
    await fixture.controlPlane.updates('cancel', 3)
    job.want = 'cancel'
    job.graceSeconds = 60
    const asked = fixture.controlPlane.beats.length
    await eventually(() => fixture.controlPlane.beats.length > asked + 1)
    job.graceSeconds = 0.3
    expect(await fixture.finished(job)).toMatchObject({ exit: { code: 137, signal: 'SIGKILL', reason: 'cancelled' } })
    await fixture.gone()
  })

  test('ends at its time-out, by its stop signal', async () => {
    const job = fixture.controlPlane.submit('timeout', { ...fixture.sh('sleep 60'), timeout_seconds: 1 })
    expect(await fixture.finished(job)).toMatchObject({
      exit: { code: 143, signal: 'SIGTERM', reason: 'timeout' },
      error: { code: 'timeout' },
    })
  })

  test('ends at its output limit, with what was printed up to it', async () => {
    const grant = { limits: { output_bytes: 100_000, line_bytes: 8 * 2 ** 20 } }
    const job = fixture.controlPlane.submit('chatty', fixture.sh('yes'), { grant })
    const lines = Math.floor(100_000 / 16)
    expect(await fixture.finished(job)).toMatchObject({
      exit: { reason: 'output_limit' },
      error: { code: 'output_limit' },
      updates: lines + 2,
    })
    expect(await fixture.controlPlane.updates('chatty', lines + 2)).toHaveLength(lines + 2)
    await fixture.gone()
  })

  test('is dropped without a finish when it is stopped', async () => {
    const job = fixture.controlPlane.submit('fenced', fixture.sh('sleep 60'))
    await fixture.controlPlane.updates('fenced', 2)
    job.want = 'stop'
    await fixture.gone()
    expect(job.finish).toBeNull()
  })

  test('is claimed by the heartbeat where the command was lost', async () => {
    const job = fixture.controlPlane.submit('quiet', fixture.sh('true'), { wake: false })
    expect(await fixture.finished(job)).toMatchObject({ exit: { code: 0 } })
  })
})
