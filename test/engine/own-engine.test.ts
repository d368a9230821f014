// The engine that we start: it ends with its starter, however that ends, and two processes on one state folder share it.

import { spawn, type ChildProcessByStdio } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, readFileSync, rmSync, existsSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import type { Readable, Writable } from 'node:stream'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { engineAnswers, findEngine } from '../../deploy/engine-api.ts'
import { startTimeOf } from '../../deploy/engine-process.ts'
import { startEngine } from '../../deploy/engine.ts'
import { eventually } from '../support/eventually.ts'

type Starter = ChildProcessByStdio<Writable, Readable, null>

let stateDir: string

beforeEach(() => {
  stateDir = mkdtempSync(join(tmpdir(), 'dray-engine-'))
})

afterEach(() => {
  rmSync(stateDir, { recursive: true, force: true })
})

async function startElsewhere(): Promise<{ starter: Starter; pid: number; socketPath: string }> {
  const script = join(import.meta.dirname, '..', 'support', 'engine-starter.ts')
  const starter = spawn(process.execPath, [script, stateDir], { stdio: ['pipe', 'pipe', 'inherit'] })
  for await (const line of createInterface({ input: starter.stdout })) {
    return { starter, ...(JSON.parse(line) as { pid: number; socketPath: string }) }
  }
  throw new Error('the starter ended without a word')
}

async function end(starter: Starter): Promise<void> {
  const exit = once(starter, 'exit')
  starter.stdin.end()
  await exit
}

test('startEngine() answers when it resolves, and stop() leaves no process and an empty place', async () => {
  const engine = await startEngine({ stateDir, network: 'isolated' })
  expect(await engineAnswers(engine.socketPath)).toBe(true)
  expect(engine.network).toBe('isolated')
  await engine.stop()
  await engine.stop()
  expect(startTimeOf(engine.pid)).toBeUndefined()
  expect(existsSync(engine.socketPath)).toBe(false)
})

test('a second starter shares the engine and does not stop it', async () => {
  const { starter, pid, socketPath } = await startElsewhere()
  const shared = await startEngine({ stateDir, network: 'isolated' })
  expect(shared).toMatchObject({ pid, socketPath })
  await shared.stop()
  expect(await engineAnswers(socketPath)).toBe(true)
  await end(starter)
  expect(startTimeOf(pid)).toBeUndefined()
})

test('the engine ends when its starter is killed, and the next start finds its place clean', async () => {
  const { starter, pid } = await startElsewhere()
  // Only its end is told to others: while it is being killed its engine is still shared with whoever asks.
  const ended = once(starter, 'exit')
  starter.kill('SIGKILL')
  await ended
  const next = await startEngine({ stateDir, network: 'isolated' })
  expect(next.pid).not.toBe(pid)
  expect(startTimeOf(pid)).toBeUndefined()
  await next.stop()
})

test('startEngine() gets over the stale pid file of an engine that was killed', async () => {
  const first = await startEngine({ stateDir, network: 'isolated' })
  process.kill(first.pid, 'SIGKILL')
  await eventually(() => startTimeOf(first.pid) === undefined, { what: 'dockerd is gone' })
  expect(readFileSync(join(stateDir, 'engine', 'pid'), 'utf8')).toBe(String(first.pid))
  const second = await startEngine({ stateDir, network: 'isolated' })
  expect(await engineAnswers(second.socketPath)).toBe(true)
  await second.stop()
})

test('findEngine() refuses a DOCKER_HOST where nothing answers', async () => {
  await expect(findEngine({ DOCKER_HOST: `unix://${stateDir}/none` })).rejects.toThrow('No Docker engine answers')
})
