import { expect, inject, test } from 'vitest'
import { createEngine } from '../../runner-agent/engine/engine-client.ts'
import { watchExit } from '../../runner-agent/engine/exit-watch.ts'
import { waitForExit } from '../../runner-agent/engine/wait.ts'
import { createContainer } from '../support/containers.ts'

const engine = createEngine({ socketPath: inject('engineSocket') })
const image = inject('busyboxImage')
const { socketPath } = engine

const exitOf = async (script: string, act?: (id: string) => Promise<void>, host = {}) => {
  await using container = await createContainer({ engine, image, script, host })
  await engine.startContainer(container.id)
  const waiting = waitForExit({ socketPath, id: container.id })
  await act?.(container.id)
  const { exitCode } = await waiting
  const { State: state } = await engine.inspectContainer(container.id)
  return { exitCode, oom: state.OOMKilled, inspected: state.ExitCode }
}

test.for([0, 1, 3, 255])('waitForExit() gives exit code %i', async (code) => {
  expect(await exitOf(`exit ${code}`)).toEqual({ exitCode: code, oom: false, inspected: code })
})

test('watchExit() calls an end uninterrupted only where one engine was there from the start', async () => {
  const { signal } = new AbortController()
  for (const engineMayHaveChanged of [false, true]) {
    await using container = await createContainer({ engine, image, script: 'exit 7', host: {} })
    await engine.startContainer(container.id)
    const { exited } = watchExit({ engine, id: container.id, signal, engineMayHaveChanged })
    expect(await exited).toEqual({ exitCode: 7, uninterrupted: !engineMayHaveChanged })
  }
})

test('waitForExit() gives 137, and the engine says OOMKilled, when the memory limit kills the job', async () => {
  const limit = { Memory: 16 << 20, MemorySwap: 16 << 20 }
  const got = await exitOf('head -c 200m /dev/zero | tail', undefined, limit).then((first) =>
    first.exitCode === 137 ? first : exitOf('exec tail /dev/zero', undefined, limit),
  )
  expect(got).toEqual({ exitCode: 137, oom: true, inspected: 137 })
})

test('stopContainer() ends a job by SIGTERM with 143, and again is no error', async () => {
  const stop = async (id: string): Promise<void> => {
    await engine.stopContainer(id, 10)
    await engine.stopContainer(id, 10)
  }
  expect(await exitOf('exec sleep 60', stop, { Init: true })).toMatchObject({ exitCode: 143 })
})

test('stopContainer() kills a job that ignores SIGTERM after the grace', async () => {
  const stop = (id: string): Promise<void> => engine.stopContainer(id, 1)
  expect(await exitOf('trap "" TERM; while :; do sleep 1; done', stop)).toMatchObject({ exitCode: 137, oom: false })
})

test('killContainer() ends a job with 137 and is no error afterwards', async () => {
  const kill = (id: string): Promise<void> => engine.killContainer(id)
  expect(await exitOf('sleep 60', kill)).toMatchObject({ exitCode: 137, oom: false })
  await using ended = await createContainer({ engine, image })
  await engine.startContainer(ended.id)
  await waitForExit({ socketPath, id: ended.id })
  await engine.killContainer(ended.id)
})

test('waitForExit() rejects for a container that is not there', async () => {
  await expect(waitForExit({ socketPath, id: 'nosuch' })).rejects.toMatchObject({ kind: 'container_missing' })
})

test('waitForExit() rejects with the reason of its signal', async () => {
  await using container = await createContainer({ engine, image, script: 'sleep 60' })
  await engine.startContainer(container.id)
  const controller = new AbortController()
  const waiting = waitForExit({ socketPath, id: container.id, signal: controller.signal })
  controller.abort(new Error('enough'))
  await expect(waiting).rejects.toThrow('enough')
})

test('createEngine() starts twice and removes twice without an error, and lists by label', async () => {
  const { id } = await engine.createContainer(`labelled-${process.pid}`, {
    Image: image,
    Cmd: ['true'],
    Labels: { 'test.owner': String(process.pid) },
    HostConfig: { NetworkMode: 'none' },
  })
  await engine.startContainer(id)
  await engine.startContainer(id).catch((error: unknown) => expect(error).toBeUndefined())
  const listed = await engine.listContainers([`test.owner=${process.pid}`])
  expect(listed.map((container) => [container.id, container.name])).toEqual([[id, `labelled-${process.pid}`]])
  await engine.removeContainer(id)
  await engine.removeContainer(id)
  expect(await engine.listContainers([`test.owner=${process.pid}`])).toEqual([])
})
