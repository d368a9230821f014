// Sentences of the protocol that only a whole stack can prove and that no other file does: retries, defaults of the agent,
// exact words as command, stop signals, pages without a limit, what a container may say after its own end.
import Docker from 'dockerode'
import { afterAll, beforeAll, describe, expect, inject, it } from 'vitest'
import { attemptOf, terminalSeq } from '../../shared/position.ts'
import { assertContiguous, field, fixture, follow, outputOf, runToEnd, shell, SMALL } from '../support/jobs.ts'
import { startStack, type Stack } from '../support/stack.ts'

const image = inject('busyboxImage')

let stack: Stack
beforeAll(async () => {
  stack = await startStack({ agents: 1, agentEnv: { DOCKER_IMAGE: inject('workflowImage') } })
})
afterAll(() => stack.close())

/** The small image with a STOPSIGNAL, for as long as it is in use. */
async function imageWithStopSignal(signal: string): Promise<AsyncDisposable & { readonly name: string }> {
  const docker = new Docker({ socketPath: inject('engineSocket') })
  const name = 'dray-test-stop-signal:1'
  const container = await docker.createContainer({ Image: image, StopSignal: signal })
  await container.commit({ repo: 'dray-test-stop-signal', tag: '1' })
  await container.remove()
  return { name, [Symbol.asyncDispose]: async () => void (await docker.getImage(name).remove({ force: true })) }
}

describe('a retry policy', () => {
  it('counts all attempts, waits its back-off, goes back to starting, and ends once', async () => {
    const retries = { max_attempts: 2, on: ['exit_nonzero' as const], backoff_seconds: 1 }
    const { job, frames, updates, states, terminal } = await runToEnd(
      stack.client,
      shell(image, 'echo try; exit 3', { retries }),
    )
    assertContiguous(updates)
    expect([...new Set(updates.map(({ attempt }) => attempt))]).toEqual([1, 2])
    expect(job.attempts).toMatchObject([
      { attempt: 1, exit: { code: 3 }, error: { code: 'exit_nonzero' } },
      { attempt: 2, exit: { code: 3 } },
    ])
    const [first, second] = job.attempts
    expect(Date.parse(second!.claimed_at) - Date.parse(first!.finished_at!)).toBeGreaterThan(900)
    expect(states).toContainEqual(expect.objectContaining({ status: 'starting', phase: 'queued', attempt: 1 }))
    expect(terminal).toMatchObject({ status: 'error', attempt: 2, seq: terminalSeq(2) })
    expect(frames.at(-1)).toBe(terminal)
    expect(
      frames.filter((frame) => ['completed', 'error', 'cancelled'].includes(String(field(frame, 'status')))),
    ).toHaveLength(1)
    const rest = await follow(stack.client, job.id, updates.find(({ attempt }) => attempt === 2)!.seq)
    expect(rest.updates.every(({ seq }) => attemptOf(seq) === 2)).toBe(true)
  })

  it('does not retry what it does not name', async () => {
    const retries = { max_attempts: 3, on: ['oom' as const] }
    const { job } = await runToEnd(stack.client, shell(image, 'exit 3', { retries }))
    expect(job.attempts).toHaveLength(1)
  })
})

describe('a job', () => {
  it('with a request alone runs DOCKER_COMMAND in DOCKER_IMAGE, the request on stdin and not in argv', async () => {
    const { request } = fixture('F1', 'unused')
    const { terminal } = await runToEnd(stack.client, { request: request!, resources: SMALL })
    expect(terminal).toMatchObject({ status: 'completed', result: { result: ['Hello, World'] } })
    const marker = 'only-on-stdin'
    const { updates } = await runToEnd(
      stack.client,
      shell(image, 'tr "\\0" "\\n" </proc/1/cmdline; tr "\\0" "\\n" </proc/self/environ; echo; cat', {
        request: { params: { marker } },
      }),
    )
    const printed = outputOf(updates, 'stdout').toString()
    expect(printed.split(marker)).toHaveLength(2)
    expect(printed.slice(printed.indexOf('{\n'))).toMatch(/^\{\n{10}"type":"run_job_request",.*"only-on-stdin".*\}\n$/)
  })

  it('gets the words of entrypoint and command as they are: no shell reads them', async () => {
    const { updates } = await runToEnd(stack.client, {
      image,
      entrypoint: ['echo', '$HOME'],
      command: ['--', '*', 'a  b'],
      parse_updates: false,
      resources: SMALL,
    })
    expect(outputOf(updates, 'stdout').toString()).toBe('$HOME -- * a  b\n')
  })

  it('is stopped by its own stop signal', async () => {
    const { id } = await stack.client.submit(
      shell(image, 'trap "echo usr1; exit 5" USR1; trap "" TERM; echo up; while :; do sleep 0.1; done', {
        stop_signal: 'SIGUSR1',
      }),
    )
    for await (const frame of stack.client.updates(id))
      if (field(frame, 'content') === 'up') await stack.client.cancel(id, { graceSeconds: 20 })
    const { terminal, updates } = await follow(stack.client, id)
    expect(terminal).toMatchObject({ status: 'cancelled', exit: { code: 5, signal: 'SIGUSR1', reason: 'cancelled' } })
    expect(outputOf(updates, 'stdout').toString()).toBe('up\nusr1\n')
  })

  it('is stopped by the stop signal of its image where it names none', async () => {
    await using signalled = await imageWithStopSignal('SIGUSR2')
    const { id } = await stack.client.submit(
      shell(signalled.name, 'trap "echo usr2; exit 6" USR2; trap "" TERM; echo up; while :; do sleep 0.1; done', {
        pull: 'never',
      }),
    )
    for await (const frame of stack.client.updates(id))
      if (field(frame, 'content') === 'up') await stack.client.cancel(id, { graceSeconds: 20 })
    expect((await stack.client.show(id)).exit).toMatchObject({ code: 6, signal: 'SIGUSR2', reason: 'cancelled' })
  })

  it('may go on printing after its own terminal job_update: all of it is relayed', async () => {
    const line = '{"type":"job_update","status":"completed","result":{"a":[1]}}'
    const { updates, terminal } = await runToEnd(stack.client, {
      image,
      command: [
        'sh',
        '-c',
        `echo '${line}'; echo after; echo '{"type":"node_update","node_id":"n","status":"late"}'; sleep 0.3`,
      ],
      resources: SMALL,
    })
    const own = updates.filter((update) => !('phase' in update))
    expect(own.map(({ type }) => type)).toEqual(['job_update', 'log_update', 'node_update'])
    expect(terminal).toMatchObject({ status: 'completed', result: { a: [1] } })
  })

  it('with pull "always" asks the registry although the image is here, with "missing" and "never" it does not', async () => {
    const pulled = (pull: 'always' | 'missing' | 'never') => runToEnd(stack.client, shell(image, 'true', { pull }))
    expect((await pulled('missing')).terminal.status).toBe('completed')
    expect((await pulled('never')).terminal.status).toBe('completed')
    const { terminal } = await pulled('always')
    expect(['image_pull_failed', 'image_not_found']).toContain(terminal.error?.code)
  })

  it('that asks for GPUs where no agent has any is unsatisfiable, and says what is lacking', async () => {
    const { terminal, job } = await runToEnd(stack.client, shell(image, 'true', { resources: { gpus: 1 } }))
    expect(terminal).toMatchObject({ status: 'error', attempt: 0, duration: 0, error: { code: 'unsatisfiable' } })
    expect(job.attempts).toEqual([])
  })
})

describe('history', () => {
  it('has 1,000 updates in a page unless asked, and a cursor to go on from', async () => {
    const { job } = await runToEnd(stack.client, shell(image, 'seq 1 1100'))
    const page = async (query: string): Promise<{ updates: { seq: number }[]; cursor: number; done: boolean }> =>
      (await (
        await fetch(`${stack.url}/v1/jobs/${job.id}/updates${query}`, {
          headers: { authorization: `Bearer ${stack.token}` },
        })
      ).json()) as { updates: { seq: number }[]; cursor: number; done: boolean }
    const first = await page('')
    expect(first.updates).toHaveLength(1_000)
    expect(first).toMatchObject({ cursor: first.updates.at(-1)!.seq, done: false })
    const rest = await page(`?after=${first.cursor}&limit=10000`)
    expect(rest).toMatchObject({ cursor: terminalSeq(1), done: true })
    expect(rest.updates).toHaveLength(1_100 + 2 + 1 - 1_000)
  })
})
