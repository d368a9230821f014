// The engine dies under a running job and is started again: what it ends then is its own doing, not the job's.
import { readdirSync, readFileSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { expect, test } from 'vitest'
import { startTimeOf, waitForExit } from '../../deploy/engine-process.ts'
import { startEngine } from '../../deploy/engine.ts'
import { ensureImages } from '../../deploy/image.ts'
import { follow, shell } from '../support/jobs.ts'
import { startStack } from '../support/stack.ts'

/** The shim of a container outlives a killed engine, and the next engine may not know it any more: the test made it. */
function endShims(stateDir: string): void {
  for (const pid of readdirSync('/proc').filter((name) => /^\d+$/.test(name))) {
    try {
      const commandLine = readFileSync(`/proc/${pid}/cmdline`, 'utf8')
      if (commandLine.includes('containerd-shim') && commandLine.includes(`${stateDir}/`))
        process.kill(Number(pid), 'SIGKILL')
    } catch {
      // It ended while it was looked at.
    }
  }
}

test('a container that a restarting engine stops is engine_lost, whatever exit code it left', async () => {
  // Short: a Unix socket lies below it.
  const stateDir = await mkdtemp('/tmp/ed-')
  const options = { stateDir, network: 'isolated' as const }
  let engine = await startEngine(options)
  const { busybox } = await ensureImages({ socketPath: engine.socketPath, stateDir })
  const stack = await startStack({ agents: 1, engineSocket: engine.socketPath })
  try {
    const { id } = await stack.client.submit(shell(busybox.image, 'echo begin; sleep 60'))
    for await (const frame of stack.client.updates(id)) if ('content' in frame && frame['content'] === 'begin') break
    const startTime = startTimeOf(engine.pid)
    process.kill(engine.pid, 'SIGKILL')
    await waitForExit(engine.pid, startTime, 5_000)
    engine = await startEngine(options)
    const { terminal } = await follow(stack.client, id)
    expect(terminal).toMatchObject({ status: 'error', error: { code: 'engine_lost' } })
  } finally {
    await stack.close()
    await engine.stop()
    endShims(stateDir)
    await rm(stateDir, { recursive: true, force: true })
  }
}, 90_000)
