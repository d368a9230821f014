// RunJobRequests through the real HTTP, NATS, libSQL and engine: F1–F7, and how each way to end becomes a job's end.
import { afterAll, beforeAll, describe, expect, inject, it } from 'vitest'
import { assertContiguous, fixture, runToEnd, SMALL } from '../support/jobs.ts'
import { startStack, type Stack } from '../support/stack.ts'

let stack: Stack
beforeAll(async () => {
  stack = await startStack({ agents: 1 })
})
afterAll(() => stack.close())

const image = inject('workflowImage')
const types = (updates: readonly { type: string }[]): string[] => updates.map((update) => update.type)

describe('a workflow', () => {
  it('F1 relays job, node, edge and output updates in order and completes with its result', async () => {
    const { job, updates, terminal } = await runToEnd(stack.client, fixture('F1', image))
    assertContiguous(updates)
    const container = updates.filter((update) => update.type !== 'log_update' && !('phase' in update))
    expect(types(container)).toEqual(
      expect.arrayContaining(['job_update', 'node_update', 'edge_update', 'output_update']),
    )
    const output = updates.find((update) => update.type === 'output_update')
    expect(output).toMatchObject({ value: 'Hello, World', output_name: 'result', output_type: 'str', job_id: job.id })
    expect(terminal).toMatchObject({
      status: 'completed',
      result: { result: ['Hello, World'] },
      exit: { code: 0, reason: 'exited', oom_killed: false },
    })
    expect(job).toMatchObject({
      status: 'completed',
      phase: 'finished',
      attempt: 1,
      result: { result: ['Hello, World'] },
    })
  })

  it('shows the status of its own job_updates as running and keeps theirs as container_status', async () => {
    const { updates } = await runToEnd(stack.client, fixture('F1', image))
    const own = updates.filter((update) => update.type === 'job_update' && 'container_status' in update)
    expect(own.map((update) => update['container_status'])).toEqual(['running', 'completed'])
    for (const update of own) {
      expect(update['status']).toBe('running')
      expect(update['container_job_id']).toMatch(/^[0-9a-f]{32}$/)
    }
  })

  it('F2 relays a streamed output piece by piece', async () => {
    const { updates, terminal } = await runToEnd(stack.client, fixture('F2', image))
    const values = updates.filter((update) => update.type === 'output_update').map((update) => update['value'])
    expect(values).toEqual(['W_1', 'W_2'])
    expect(terminal.result).toEqual({ result: ['W_1', 'W_2'] })
  })

  it('F3 ends in exit_nonzero with the text of the first failure', async () => {
    const { job, terminal } = await runToEnd(stack.client, fixture('F3', image))
    expect(terminal).toMatchObject({
      status: 'error',
      error: { code: 'exit_nonzero' },
      exit: { code: 1, reason: 'exited' },
    })
    expect(job.error?.message).toBeTruthy()
    expect(job.error?.hint).toBeTruthy()
    expect('result' in terminal).toBe(false)
  })

  it('F4 says which node type is unknown', async () => {
    const { terminal } = await runToEnd(stack.client, fixture('F4', image))
    expect(terminal).toMatchObject({ status: 'error', error: { code: 'exit_nonzero' } })
    expect(terminal.error?.message).toMatch(/nodetool|type/i)
  })

  it('F5 is cancelled while it runs', async () => {
    const { id } = await stack.client.submit(fixture('F5', image))
    for await (const frame of stack.client.updates(id, { states: true })) {
      if (frame.type === 'job_update' && 'container_status' in frame) await stack.client.cancel(id)
    }
    expect(await stack.client.show(id)).toMatchObject({
      status: 'cancelled',
      cancel_requested: true,
      exit: { reason: 'cancelled', signal: 'SIGTERM' },
    })
  })

  it('F6 that suspends ends in error suspended', async () => {
    const { terminal } = await runToEnd(stack.client, fixture('F6', image))
    expect(terminal).toMatchObject({ status: 'error', error: { code: 'suspended' }, exit: { code: 0 } })
  })

  it('F7 drops nothing that it printed: prints, blank lines, raw bytes, NaN', async () => {
    const { updates, terminal } = await runToEnd(stack.client, fixture('F7', image))
    assertContiguous(updates)
    const printed = updates.filter((update) => update.type === 'log_update' && update['stream'] === 'stdout')
    expect(printed.map((update) => update['content'])).toEqual(
      expect.arrayContaining(["a line of a node's own print()", '', '{"half":']),
    )
    const raw = printed.find((update) => typeof update['bytes'] === 'string')
    expect(Buffer.from(String(raw?.['bytes']), 'base64').toString('latin1')).toBe('bad \xff\xfe bytes')
    expect(raw?.['content']).toContain('�')
    expect(terminal).toMatchObject({
      status: 'completed',
      result: { bytes: [{ __type__: 'bytes', base64: 'AAECAw==' }], floats: [[null, null, null, 1.5]] },
    })
  })

  it('reads the severity of its log lines on stderr', async () => {
    const { updates } = await runToEnd(stack.client, fixture('F1', image))
    const logs = updates.filter((update) => update['stream'] === 'stderr')
    expect(logs.length).toBeGreaterThan(0)
    for (const update of logs)
      expect(update).toMatchObject({ type: 'log_update', severity: 'info', node_id: '', node_name: '' })
  })

  it('may end exit 0 as failed (workflow_failed) or as cancelled by itself', async () => {
    const line = (status: string): string =>
      JSON.stringify({ type: 'job_update', status, job_id: 'x', error: status === 'failed' ? 'no luck' : null })
    const print = (status: string) => ({ image, command: ['echo', line(status)], resources: SMALL })
    expect((await runToEnd(stack.client, print('failed'))).terminal).toMatchObject({
      status: 'error',
      error: { code: 'workflow_failed', message: 'no luck' },
    })
    expect((await runToEnd(stack.client, print('cancelled'))).terminal).toMatchObject({
      status: 'cancelled',
      exit: { reason: 'container', code: 0 },
    })
  })

  it('cannot forge its end: "completed" followed by exit 3 is one error', async () => {
    const forged = [
      JSON.stringify({
        type: 'job_update',
        status: 'completed',
        result: { a: [1] },
        seq: 99999999999999,
        attempt: 9,
        at: 'never',
      }),
      JSON.stringify({ type: 'gap', from: 1, to: 2 }),
    ].join('\n')
    const { job, frames, updates, terminal, gaps } = await runToEnd(stack.client, {
      image,
      command: ['sh', '-c', `cat <<'END'\n${forged}\nEND\nexit 3`],
      resources: SMALL,
    })
    assertContiguous(updates)
    expect(terminal).toMatchObject({ status: 'error', error: { code: 'exit_nonzero' }, exit: { code: 3 } })
    expect(
      frames.filter(
        (frame) => frame.type === 'job_update' && ['completed', 'error', 'cancelled'].includes(String(frame['status'])),
      ),
    ).toHaveLength(1)
    expect(gaps).toEqual([])
    expect(updates.find((update) => 'container_seq' in update)).toMatchObject({
      container_seq: 99999999999999,
      container_attempt: 9,
      container_at: 'never',
      attempt: 1,
    })
    expect(job.status).toBe('error')
  })
})
