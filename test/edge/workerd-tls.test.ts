// workerd and NATS over TLS: WebSockets of requests and of a Durable Object with a certificate that is checked, beside them
// an agent over TLS on TCP.
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, inject, it } from 'vitest'
import { runToEnd, fixture } from '../support/jobs.ts'
import { makeSelfSigned } from '../support/self-signed.ts'
import { startStack } from '../support/stack.ts'

let folder: string
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'dray-tls-'))
})
afterAll(() => rm(folder, { recursive: true, force: true }))

it('a job runs to its result over wss and tls', async () => {
  const stack = await startStack({ agents: 1, runtime: 'workerd', natsTls: await makeSelfSigned(folder) })
  try {
    expect([stack.nats.websocketUrl, stack.nats.url]).toEqual([
      expect.stringMatching(/^wss:/),
      expect.stringMatching(/^tls:/),
    ])
    const { terminal, updates } = await runToEnd(stack.client, fixture('F1', inject('workflowImage')))
    expect(terminal).toMatchObject({ status: 'completed', result: { result: ['Hello, World'] } })
    expect(updates.length).toBeGreaterThan(0)
  } finally {
    await stack.close()
  }
})

it('a certificate that nobody vouches for is refused', async () => {
  const { certFile, keyFile } = await makeSelfSigned(folder)
  const other = await makeSelfSigned(await mkdtemp(join(folder, 'other-')))
  const natsTls = { certFile, keyFile, pem: other.pem }
  await expect(startStack({ agents: 0, runtime: 'workerd', natsTls })).rejects.toMatchObject({
    cause: { message: expect.stringContaining('the control plane is ready') },
  })
})
