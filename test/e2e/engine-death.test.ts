// The engine dies under a running job and is started again: what it ends then is its own doing, not the job's.
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { expect, inject, test } from 'vitest'
import { startTimeOf, waitForExit } from '../../deploy/engine-process.ts'
import { startEngine } from '../../deploy/engine.ts'
import { ensureImages } from '../../deploy/image.ts'
import { createEngine } from '../../runner-agent/engine/engine-client.ts'
import type { TerminalUpdate } from '../../shared/update.ts'
import { openEngineGate } from '../support/engine-gate.ts'
import { eventually } from '../support/eventually.ts'
import { follow, shell, type Story } from '../support/jobs.ts'
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

async function endEngine(pid: number, signal: 'SIGKILL' | 'SIGTERM'): Promise<void> {
  const startTime = startTimeOf(pid)
  process.kill(pid, signal)
  await waitForExit(pid, startTime, 30_000)
}

interface Death {
  readonly script: string
  readonly signal?: 'SIGKILL' | 'SIGTERM'
  /** The engine stays away until the container has ended. */
  readonly untilEnded?: boolean
  /** The agent is killed before, and started again when there is an engine again: nobody saw anything. */
  readonly agentToo?: boolean
  /** The engine's containers go on without it. */
  readonly liveRestore?: boolean
}

/** Of the only container that runs there. */
async function processOf(socketPath: string): Promise<number> {
  const { signal } = new AbortController()
  const engine = createEngine({ socketPath })
  const [running] = await engine.listContainers([], signal)
  return (await engine.inspectContainer(running?.id ?? '', signal)).State.Pid
}

/** How a job ends whose engine dies when it has said "begin", and is started again. */
async function endAcross(death: Death): Promise<TerminalUpdate> {
  return (await storyAcross(death)).terminal
}

async function storyAcross(death: Death): Promise<Story> {
  const { script, signal = 'SIGKILL', untilEnded, agentToo, liveRestore } = death
  // Short: a Unix socket lies below it.
  const stateDir = await mkdtemp('/tmp/ed-')
  const flags = liveRestore ? ['--live-restore'] : []
  const options = { stateDir, network: 'isolated' as const, root: inject('engineRoot') || undefined, flags }
  let engine = await startEngine(options)
  const { busybox } = await ensureImages({ socketPath: engine.socketPath, stateDir })
  const stack = await startStack({ agents: 1, engineSocket: engine.socketPath })
  try {
    const { id } = await stack.client.submit(shell(busybox.image, script))
    for await (const frame of stack.client.updates(id)) if ('content' in frame && frame['content'] === 'begin') break
    const pid = await processOf(engine.socketPath)
    if (agentToo) await stack.agents[0]?.stop('SIGKILL')
    await endEngine(engine.pid, signal)
    const ended = () => !existsSync(`/proc/${pid}`)
    if (untilEnded) await eventually(ended, { deadlineMs: 20_000, what: 'the container has ended' })
    engine = await startEngine(options)
    if (agentToo) stack.agents[0]?.start()
    return await follow(stack.client, id)
  } finally {
    await stack.close()
    await engine.stop()
    endShims(stateDir)
    await rm(stateDir, { recursive: true, force: true })
  }
}

/** Engine 26.1.5 has forgotten the exit code of what ended without it. */
const KNOWN_TO_ENGINES = [0, null]

test('a container that a restarting engine stops is engine_lost, whatever exit code it left', async () => {
  const terminal = await endAcross({ script: 'echo begin; sleep 60' })
  expect(terminal).toMatchObject({ status: 'error', error: { code: 'engine_lost' } })
}, 90_000)

// What it printed then went into a pipe that nobody held any more: it looked like a whole story with its end cut off.
test('a container that ended while no engine was there is engine_lost, with its exit code where the engine knows it', async () => {
  const terminal = await endAcross({ script: 'echo begin; sleep 3; echo end', untilEnded: true })
  expect(terminal).toMatchObject({ status: 'error', error: { code: 'engine_lost' }, exit: { reason: 'lost' } })
  expect(KNOWN_TO_ENGINES).toContain(terminal.exit?.code)
}, 90_000)

test('a container that an engine stops because it is asked to end is engine_lost', async () => {
  const terminal = await endAcross({ script: 'echo begin; exec sleep 60', signal: 'SIGTERM' })
  expect(terminal).toMatchObject({ status: 'error', error: { code: 'engine_lost' } })
}, 90_000)

test('an agent and its engine are killed: what the next engine stopped is engine_lost', async () => {
  const terminal = await endAcross({ script: 'echo begin; sleep 60', agentToo: true })
  expect(terminal).toMatchObject({ status: 'error', error: { code: 'engine_lost' } })
}, 90_000)

test('an agent and its engine are killed: what ended when neither was there is engine_lost', async () => {
  const terminal = await endAcross({ script: 'echo begin; sleep 3; echo end', untilEnded: true, agentToo: true })
  expect(terminal).toMatchObject({ status: 'error', error: { code: 'engine_lost' }, exit: { reason: 'lost' } })
  expect(KNOWN_TO_ENGINES).toContain(terminal.exit?.code)
}, 90_000)

/** Longer than an engine needs to end: 26.1.5 gives five seconds to a call that waits. */
const COUNTS = 'echo begin; i=0; while [ $i -lt 120 ]; do echo $i; i=$((i+1)); sleep 0.1; done; exit 3'

test.each([
  ['asked to end', 'SIGTERM', false],
  ['killed together with the agent', 'SIGKILL', true],
] as const)(
  'with live-restore a container outlives its engine, %s, and ends as it does',
  async (_, signal, agentToo) => {
    const { terminal, updates, gaps, job } = await storyAcross({ script: COUNTS, signal, agentToo, liveRestore: true })
    expect(terminal).toMatchObject({
      status: 'error',
      error: { code: 'exit_nonzero' },
      exit: { code: 3, reason: 'exited' },
    })
    const said = updates.flatMap(({ content }) => content ?? [])
    expect(said).toEqual(['begin', ...Array.from({ length: 120 }, (__, index) => String(index))])
    expect({ gaps, attempts: job.attempts.length }).toEqual({ gaps: [], attempts: 1 })
  },
  90_000,
)

// The engine had begun the container and not written that down: the next one said that it never ran, and it ran again.
test('an engine that dies within a start: the container does not run twice', async () => {
  const stateDir = await mkdtemp('/tmp/ed-')
  const options = { stateDir, network: 'isolated' as const, root: inject('engineRoot') || undefined }
  let dockerd = await startEngine(options)
  const { busybox } = await ensureImages({ socketPath: dockerd.socketPath, stateDir })
  await using gate = await openEngineGate(dockerd.socketPath)
  // What its answer to "start" would be is not waited for: the container speaks before it.
  gate.onOutput = (text) => {
    if (text.includes('line 1\n')) {
      gate.onOutput = (rest) => rest
      process.kill(dockerd.pid, 'SIGKILL')
    }
    return text
  }
  let starts = 0
  gate.onCall = async (call) => {
    if (/^POST \S*\/start(\?|$)/.test(call)) starts += 1
    return 'answer'
  }
  const stack = await startStack({ agents: 1, engineSocket: gate.socketPath })
  try {
    const { id } = await stack.client.submit(
      shell(busybox.image, 'i=0; while [ $i -lt 50 ]; do i=$((i+1)); echo line $i; done; sleep 30'),
    )
    await waitForExit(dockerd.pid, startTimeOf(dockerd.pid), 30_000)
    dockerd = await startEngine(options)
    const { terminal, updates, gaps } = await follow(stack.client, id)
    expect(terminal).toMatchObject({ status: 'error', error: { code: 'engine_lost' } })
    const lines = updates.flatMap(({ content }) => content ?? [])
    expect(lines).toEqual(Array.from({ length: lines.length }, (_, index) => `line ${index + 1}`))
    expect({ gaps, starts }).toEqual({ gaps: [], starts: 1 })
  } finally {
    await stack.close()
    await dockerd.stop()
    endShims(stateDir)
    await rm(stateDir, { recursive: true, force: true })
  }
}, 90_000)
