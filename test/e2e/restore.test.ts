// A real restore in the middle of running jobs: every job of the backup ends exactly once, whatever became of it after the
// backup was made, what the backup does not know is stopped, and no container is left.
import path from 'node:path'
import { afterEach, beforeEach, expect, inject, it } from 'vitest'
import { createEngine } from '../../runner-agent/engine/engine-client.ts'
import { attemptOf, seqOf } from '../../shared/position.ts'
import { runCli } from '../support/cli-process.ts'
import { eventually } from '../support/eventually.ts'
import { assertContiguous, field, follow, shell, type Story } from '../support/jobs.ts'
import { startStack, type Stack } from '../support/stack.ts'

let stack: Stack
beforeEach(async () => {
  stack = await startStack({ agents: 1 })
})
afterEach(() => stack.close())

const image = inject('busyboxImage')
const engine = createEngine({ socketPath: inject('engineSocket') })

async function untilPrinted(id: string, text: string): Promise<void> {
  for await (const frame of stack.client.updates(id)) if (field(frame, 'content') === text) return
}

async function dray(...args: string[]): Promise<void> {
  const { PATH = '' } = process.env
  const env = { PATH, DRAY_DATABASE_URL: `file:${path.join(stack.dir, 'dray.db')}` }
  const { code, stderr } = await runCli(['control-plane', ...args], env)
  expect(code, stderr).toBe(0)
}

const KEPT_LINES = 300

const outputOf = ({ updates }: Story): unknown[] =>
  updates.filter((update) => update['stream'] === 'stdout').map((update) => update['content'])

it('a restore in the middle of running jobs: each job of the backup ends once, and no container is left', async () => {
  await stack.startAgent({ name: 'later', pool: 'later' })
  const later = (await stack.client.agents()).items.find(({ name }) => name === 'later')?.id ?? ''
  await stack.client.setAgent(later, 'cordon')
  const submit = async (script: string, more = {}): Promise<string> =>
    (await stack.client.submit(shell(image, `echo begin; ${script}`, more))).id
  const short = 'sleep 8; echo end'
  // It must outlast the restore, however slow the machine is: else its end is forgotten with the database.
  const kept = await submit(`for i in $(seq 1 ${KEPT_LINES}); do echo $i; sleep 0.1; done`)
  const lost = await submit(short, { lost_after_seconds: 5 })
  const again = await submit(short, { retries: { max_attempts: 2, on: ['agent_lost'] } })
  const ended = await submit('true')
  const waiting = await submit(short, { pool: 'later' })
  const endedBefore = await follow(stack.client, ended)
  for (const id of [kept, lost, again]) await untilPrinted(id, 'begin')
  const backup = path.join(stack.dir, 'backup.db')
  await dray('backup', backup)

  // After the backup: two jobs end, the waiting one begins, and another one is submitted.
  const unknown = await submit('sleep 60')
  await stack.client.setAgent(later, 'uncordon')
  for (const id of [unknown, waiting]) await untilPrinted(id, 'begin')
  await Promise.all([lost, again].map((id) => follow(stack.client, id)))
  const cursor = (await stack.client.history(waiting)).cursor
  const watchingKept = follow(stack.client, kept)
  await stack.controlPlane.stop()
  await dray('restore', backup)
  await stack.startControlPlane()
  await stack.client.setAgent(later, 'uncordon')

  const keptStory = await watchingKept
  expect(keptStory.terminal).toMatchObject({ status: 'completed', attempt: 1001 })
  expect(keptStory.gaps).toEqual([])
  assertContiguous(keptStory.updates)
  expect(outputOf(keptStory)).toEqual(['begin', ...Array.from({ length: KEPT_LINES }, (_, index) => String(index + 1))])

  const waited = await follow(stack.client, waiting, cursor)
  expect(waited.terminal).toMatchObject({ status: 'completed', attempt: 1001 })
  // What the vanished attempt still had to say is said to be missing, and the next one is whole.
  expect(attemptOf(cursor)).toBe(1)
  expect(waited.gaps).toEqual([{ type: 'gap', from: cursor + 1, to: seqOf(1001, 0) - 1 }])
  expect(outputOf(waited)).toEqual(['begin', 'end'])

  const retried = await follow(stack.client, again)
  expect(retried.terminal).toMatchObject({ status: 'completed', attempt: 1002 })
  expect(outputOf(retried).slice(-2)).toEqual(['begin', 'end'])
  expect((await follow(stack.client, lost)).terminal).toMatchObject({ status: 'error', error: { code: 'agent_lost' } })
  expect((await follow(stack.client, ended)).terminal).toEqual(endedBefore.terminal)
  await expect(stack.client.show(unknown)).rejects.toMatchObject({ status: 404 })
  for (const id of [kept, waiting, again, lost]) {
    const ends = (await stack.client.show(id)).transitions.filter(({ phase }) => phase === 'finished')
    expect(ends, id).toHaveLength(1)
  }
  const containers = async (): Promise<number> =>
    (
      await Promise.all([kept, lost, again, waiting, unknown].map((id) => engine.listContainers([`dray.job=${id}`])))
    ).flat().length
  await eventually(async () => expect(await containers()).toBe(0), { deadlineMs: 15_000, what: 'no container is left' })
}, 180_000)
