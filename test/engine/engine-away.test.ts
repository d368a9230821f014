import { expect, test } from 'vitest'
import { attach } from '../../runner-agent/engine/attach.ts'
import { readLog } from '../../runner-agent/engine/docker-log.ts'
import { createEngine } from '../../runner-agent/engine/engine-client.ts'
import { createLineMemory } from '../../runner-agent/engine/line-memory.ts'
import { waitForExit } from '../../runner-agent/engine/wait.ts'
import { startFakeEngine } from '../support/fake-engine.ts'

test('waitForExit() rejects when the engine dies after it sent the headers', async () => {
  await using fake = await startFakeEngine((_, response) => {
    response.writeHead(200, { 'Content-Type': 'application/json' }).flushHeaders()
    setImmediate(() => response.destroy())
  })
  const waiting = waitForExit({ socketPath: fake.socketPath, id: 'x' })
  await expect(waiting).rejects.toMatchObject({ kind: 'engine_away', code: 'engine_lost', transient: true })
  expect(fake.requests).toEqual(['POST /containers/x/wait?condition=not-running'])
})

test('waitForExit() rejects when a stopping engine ends its answer without a code', async () => {
  await using fake = await startFakeEngine((_, response) => response.end(''))
  const waiting = waitForExit({ socketPath: fake.socketPath, id: 'x' })
  await expect(waiting).rejects.toMatchObject({ kind: 'engine_away' })
})

test('short calls reject when the engine dies within its answer', async () => {
  await using fake = await startFakeEngine((_, response) => {
    response.writeHead(200, { 'Content-Type': 'application/json', 'Content-Length': '100' })
    response.write('{"Id":')
    setImmediate(() => response.destroy())
  })
  const engine = createEngine({ socketPath: fake.socketPath })
  await expect(engine.info()).rejects.toMatchObject({ kind: 'engine_away' })
  // dockerode itself would wait for ever here.
  await expect(engine.inspectContainer('x', AbortSignal.timeout(200))).rejects.toThrow('timeout')
})

test('short calls end with their signal when the engine never answers', async () => {
  await using fake = await startFakeEngine(() => undefined)
  const engine = createEngine({ socketPath: fake.socketPath })
  const abort = (): AbortSignal => {
    const controller = new AbortController()
    setImmediate(() => controller.abort(new Error('enough')))
    return controller.signal
  }
  await expect(engine.inspectContainer('x', abort())).rejects.toThrow('enough')
  await expect(engine.info(abort())).rejects.toThrow('enough')
  await expect(attach({ socketPath: fake.socketPath, id: 'x', stdin: true, signal: abort() })).rejects.toThrow('enough')
})

test('every call says that the engine is away when there is no socket', async () => {
  const socketPath = '/nowhere/docker.sock'
  const engine = createEngine({ socketPath })
  const away = { kind: 'engine_away', code: 'engine_lost', transient: true }
  await expect(engine.ping()).rejects.toMatchObject(away)
  await expect(engine.listContainers([])).rejects.toMatchObject(away)
  await expect(engine.startContainer('x')).rejects.toMatchObject(away)
  await expect(attach({ socketPath, id: 'x', stdin: true })).rejects.toMatchObject(away)
  await expect(waitForExit({ socketPath, id: 'x' })).rejects.toMatchObject(away)
})

const frame = (kind: number, text: string): Buffer => {
  const header = Buffer.from([kind, 0, 0, 0, 0, 0, 0, 0])
  header.writeUInt32BE(Buffer.byteLength(text), 4)
  return Buffer.concat([header, Buffer.from(text)])
}

const log = { id: 'x', stream: 'stdout' as const, skipLines: 0, follow: false, maxLineBytes: 100 }
const stamp = '2026-11-25T01:22:20.841458072Z'

test('readLog() rejects when the engine dies within an entry, after handing out what was whole', async () => {
  await using fake = await startFakeEngine((_, response) => {
    response.write(Buffer.concat([frame(1, `${stamp} one\n`), frame(1, `${stamp} two\n`).subarray(0, 20)]))
    setTimeout(() => response.destroy(), 50)
  })
  const lines: string[] = []
  const reading = readLog({ ...log, socketPath: fake.socketPath }, (line) => {
    lines.push(Buffer.from(line.bytes).toString())
  })
  await expect(reading).rejects.toMatchObject({ kind: 'engine_away' })
  expect(lines).toEqual(['one'])
})

test('readLog() rejects when the engine ends the log within an entry or reports a failure in it', async () => {
  const bodies = [frame(1, `${stamp} two\n`).subarray(0, 20), frame(3, 'Error grabbing logs: EOF')]
  await using fake = await startFakeEngine((_, response) => response.end(bodies.shift()))
  const request = { ...log, socketPath: fake.socketPath }
  await expect(readLog(request, () => undefined)).rejects.toMatchObject({ kind: 'engine_away' })
  await expect(readLog(request, () => undefined)).rejects.toMatchObject({ kind: 'log_unreadable' })
})

test('readLog() waits for its consumer and ends with its signal', async () => {
  const line = frame(1, `${stamp} one\n`)
  await using fake = await startFakeEngine((_, response) => response.write(Buffer.concat([line, line, line])))
  const controller = new AbortController()
  const counts: number[] = []
  const reading = readLog({ ...log, socketPath: fake.socketPath, signal: controller.signal }, async ({ count }) => {
    await new Promise((resolve) => setImmediate(resolve))
    counts.push(count)
    if (count === 3) controller.abort(new Error('enough'))
  })
  await expect(reading).rejects.toThrow('enough')
  expect(counts).toEqual([1, 2, 3])
})

test('readLog() stops skipping where the log of a crashed engine is shorter than what was handed out', async () => {
  // Handed out from the socket: 1 to 6. The engine died before it wrote 4, 5 and 6 to its log.
  const written = ['one', 'two', 'three', 'seven', 'eight']
  const body = Buffer.concat(written.map((text) => frame(1, `${stamp} ${text}\n`)))
  await using fake = await startFakeEngine((_, response) => response.end(body))
  const memory = createLineMemory()
  for (const [index, text] of ['one', 'two', 'three', 'four', 'five', 'six'].entries()) {
    memory.note(index + 1, Buffer.from(text))
  }
  const got: unknown[] = []
  const request = {
    ...log,
    socketPath: fake.socketPath,
    skipLines: 6,
    tail: { memory, open: { bytes: new Uint8Array(0), eol: false, part: 1, continued: false } },
  }
  await readLog(request, ({ bytes, count }) => {
    got.push([Buffer.from(bytes).toString(), count])
  })
  expect(got).toEqual([
    ['seven', 4],
    ['eight', 5],
  ])
})
