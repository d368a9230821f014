import { createHash, randomBytes } from 'node:crypto'
import { expect, inject, test } from 'vitest'
import { attach, sendInput } from '../../runner-agent/engine/attach.ts'
import { createDemux } from '../../runner-agent/engine/demux.ts'
import { createEngine } from '../../runner-agent/engine/engine-client.ts'
import { waitForExit } from '../../runner-agent/engine/wait.ts'
import { createContainer } from '../support/containers.ts'

const engine = createEngine({ socketPath: inject('engineSocket') })
const image = inject('busyboxImage')
const { socketPath } = engine

const runWithInput = async (script: string, input: Uint8Array) => {
  await using container = await createContainer({ engine, image, script })
  const socket = await attach({ socketPath, id: container.id, stdin: true })
  const output: Record<string, Uint8Array[]> = { stdout: [], stderr: [] }
  const demux = createDemux((stream, bytes) => output[stream]?.push(bytes))
  socket.on('data', (chunk: Buffer) => demux.push(chunk))
  const sent = sendInput(socket, input)
  const ended = new Promise((resolve) => socket.once('end', resolve))
  await engine.startContainer(container.id)
  const { exitCode } = await waitForExit({ socketPath, id: container.id })
  await ended
  socket.destroy()
  const { stdout = [], stderr = [] } = output
  return {
    exitCode,
    sent: await sent,
    clean: demux.clean(),
    stdout: Buffer.concat(stdout),
    stderr: Buffer.concat(stderr),
  }
}

const digest = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex')

test('attach() carries 5 MiB through cat byte for byte and closes stdin at its end', async () => {
  const input = randomBytes(5 * 1024 * 1024)
  const got = await runWithInput('cat', input)
  expect(got).toMatchObject({ exitCode: 0, sent: true, clean: true })
  expect(digest(got.stdout)).toBe(digest(input))
})

test('attach() keeps stdout and stderr apart, and the output after the half-close', async () => {
  const got = await runWithInput('read name; echo "hello $name"; echo oops >&2; cat; echo after', Buffer.from('dray\n'))
  expect(got.stdout.toString()).toBe('hello dray\nafter\n')
  expect(got.stderr.toString()).toBe('oops\n')
})

test('attach() delivers a tail of 64 MB that was printed just before the exit', async () => {
  const got = await runWithInput('head -c 64000000 /dev/zero', Buffer.from(''))
  expect(got.stdout.length).toBe(64_000_000)
})

test('sendInput() settles when the container never reads its input', async () => {
  const got = await runWithInput('echo done', Buffer.alloc(5 * 1024 * 1024))
  expect(got).toMatchObject({ exitCode: 0, sent: false })
  expect(got.stdout.toString()).toBe('done\n')
})

test('attach() rejects for a container that is not there', async () => {
  await expect(attach({ socketPath, id: 'nosuch', stdin: true })).rejects.toMatchObject({ kind: 'container_missing' })
})

test('attach() leaves the socket alone when its signal aborts later', async () => {
  await using container = await createContainer({ engine, image, script: 'read line; echo "$line"' })
  const controller = new AbortController()
  const socket = await attach({ socketPath, id: container.id, stdin: true, signal: controller.signal })
  controller.abort()
  await engine.startContainer(container.id)
  const output = new Promise<string>((resolve) => socket.once('data', (chunk: Buffer) => resolve(chunk.toString())))
  socket.end('still here\n')
  expect(await output).toContain('still here')
  socket.destroy()
})
