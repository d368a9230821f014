// The control plane on workerd: what every runtime must do, and what only this one has to show: nothing lasts longer than
// a request, the relay is in a Durable Object, the database and NATS are far away, and the process may go at any time.
import { DatabaseSync } from 'node:sqlite'
import path from 'node:path'
import { afterAll, afterEach, beforeAll, describe, expect, inject, it } from 'vitest'
import { dialNats } from '../../control-plane/bus/nats-dial.ts'
import type { JobView } from '../../shared/job.ts'
import { eventually } from '../support/eventually.ts'
import { assertContiguous, field, follow, shell } from '../support/jobs.ts'
import { openRawStream } from '../support/raw-stream.ts'
import { startStack, type Stack } from '../support/stack.ts'
import { controlPlaneContract } from './control-plane.contract.ts'

const image = inject('busyboxImage')

describe('as everywhere', () => void controlPlaneContract('workerd'))

describe('workerd', () => {
  let stack: Stack
  beforeAll(async () => {
    stack = await startStack({ agents: 1, runtime: 'workerd' })
  })
  afterAll(() => stack.close())
  // Also after a test that ran out of time: the next one is not to suffer for it.
  afterEach(() => {
    stack.plane.database?.dropOneIn(0)
    stack.plane.database?.setLatency(0)
  })

  const address = (id: string): string => `${stack.url.replace('http', 'ws')}/v1/jobs/${id}/stream?after=0`

  it('updates do not wait for a database that takes 3 s', async () => {
    const { client, plane } = stack
    const { id } = await client.submit(shell(image, 'for i in $(seq 1 80); do echo $i; sleep 0.1; done'))
    const arrivals: number[] = []
    for await (const frame of client.updates(id)) {
      if (field(frame, 'stream') !== 'stdout') continue
      // From here on every read of the row takes 3 s, and one is always under way.
      if (field(frame, 'content') === '5') plane.database?.setLatency(3_000)
      if (Number(field(frame, 'content')) > 5) arrivals.push(performance.now())
      if (field(frame, 'content') === '75') plane.database?.setLatency(0)
    }
    const gaps = arrivals.slice(1, 70).map((at, index) => at - arrivals[index]!)
    expect(arrivals).toHaveLength(75)
    expect(Math.max(...gaps)).toBeLessThan(1_000)
    expect((await client.show(id)).status).toBe('completed')
  })

  it('jobs end once although answers of the database are lost', async () => {
    const { client, plane } = stack
    const ids = await Promise.all(
      Array.from({ length: 8 }, async (_, index) => {
        const key = `lost-${index}`
        return eventually(() => client.submit(shell(image, 'seq 1 50'), { idempotencyKey: key }), {
          deadlineMs: 20_000,
        })
      }),
    )
    plane.database?.dropOneIn(4)
    try {
      for (const { id } of ids) await client.wait(id)
    } finally {
      plane.database?.dropOneIn(0)
    }
    for (const { id } of ids) {
      const { updates, terminal, job } = await follow(client, id)
      assertContiguous(updates)
      expect([terminal.status, job.attempts.length]).toEqual(['completed', 1])
    }
  })

  it('a client that says how much has arrived is sent 40 MiB at once; one that does not has to come back', async () => {
    const { client, token } = stack
    const { id } = await client.submit(shell(image, `yes ${'m'.repeat(1000)} | head -n 40960`))
    const silent = openRawStream({ url: address(id), token })
    const telling = openRawStream({ url: address(id), token, confirms: true })
    expect([await silent.ended(), await telling.ended()]).toEqual([4408, 1000])
    expect(telling.frames.filter((frame) => field(frame, 'stream') === 'stdout')).toHaveLength(40_960)
  })

  it('an upstream that stays away closes the client with 1013', async () => {
    const { client, nats, token } = stack
    const { id } = await client.submit(shell(image, 'for i in $(seq 1 30); do echo $i; sleep 0.5; done'))
    const stream = openRawStream({ url: address(id), token })
    await eventually(() => stream.frames.some((frame) => field(frame, 'content') === '2'), { deadlineMs: 10_000 })
    await nats.kill()
    expect(await stream.ended()).toBe(1013)
    await nats.start()
    expect((await follow(client, id)).terminal.status).toBe('completed')
  })

  it('keeps no connection to NATS when nobody asks for anything', async () => {
    const { nats } = stack
    const system = await dialNats({ urls: [nats.url], credentials: nats.identity.systemUser, name: 'test' })
    const names = async (): Promise<string[]> => {
      const answer = await system.request('$SYS.REQ.SERVER.PING.CONNZ', JSON.stringify({ limit: 100 }), {
        timeout: 2_000,
      })
      const { data } = answer.json<{ data: { connections: { name?: string }[] } }>()
      return data.connections.map(({ name = '' }) => name)
    }
    await eventually(async () => !(await names()).some((name) => /^dray (control plane|request)/.test(name)), {
      deadlineMs: 20_000,
      everyMs: 500,
      what: 'the Durable Objects let go of NATS',
    })
    await system.close()
  })
})

describe('the cron trigger', () => {
  it('sweeps while nobody asks for anything: a queued job expires', async () => {
    const stack = await startStack({ agents: 0, runtime: 'workerd' })
    const database = new DatabaseSync(path.join(stack.dir, 'dray.db'), { readOnly: true, timeout: 2_000 })
    try {
      const job: JobView = await stack.client.submit(shell(image, 'true', { queue_ttl_seconds: 1 }))
      const look = database.prepare('SELECT status, error FROM jobs WHERE id = ?')
      // It runs for a minute; the stack ends earlier.
      stack.plane.cron?.().catch(() => undefined)
      await eventually(() => String(look.get(job.id)?.['error']).includes('expired'), {
        deadlineMs: 20_000,
        everyMs: 200,
        what: 'the job has expired',
      })
    } finally {
      database.close()
      // The cron run would be waited for.
      await stack.controlPlane.stop('SIGKILL')
      await stack.close()
    }
  })
})
