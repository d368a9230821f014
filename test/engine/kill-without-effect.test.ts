// A kill that the engine takes and that does nothing (a process stuck in the kernel): it is sent again and again.
import { expect, test } from 'vitest'
import { createEngine } from '../../runner-agent/engine/engine-client.ts'
import { createJobControl } from '../../runner-agent/job-control.ts'
import { watchForStop } from '../../runner-agent/job-stopper.ts'
import { eventually } from '../support/eventually.ts'
import { startFakeEngine } from '../support/fake-engine.ts'

test('a container that a kill does not end is killed again every few seconds, until it has exited', async () => {
  await using fake = await startFakeEngine((_, response) => response.writeHead(204).end())
  const control = createJobControl()
  const exited = new AbortController()
  const stopper = watchForStop({
    engine: createEngine({ socketPath: fake.socketPath }),
    containerId: 'stuck',
    stopSignal: 'SIGTERM',
    control,
    exited: exited.signal,
    log: { info: () => undefined, warn: () => undefined, error: () => undefined },
  })
  control.end('cancelled', 0.1)
  const signals = (): string[] => fake.requests.map((request) => request.split('signal=')[1] ?? request)
  await eventually(() => expect(signals()).toEqual(['SIGTERM', 'SIGKILL', 'SIGKILL']), { deadlineMs: 8_000 })
  exited.abort()
  await stopper.done
  expect(stopper.signal).toBe('SIGKILL')
})
