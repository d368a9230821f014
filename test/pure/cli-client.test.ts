// The client's stream against a small real WebSocket server that breaks, repeats, lies, floods and ends. What the consumer
// sees must be each update once, in order, without a hole.

import { afterEach, expect, test } from 'vitest'
import { followUpdates } from '../../shared/client/updates.ts'
import { seqOf, terminalSeq } from '../../shared/position.ts'
import { endSeq, type Frame } from '../../shared/update.ts'
import { endServers, frame, serve, terminal } from '../support/scripted-server.ts'

afterEach(endServers)

async function collect(frames: AsyncIterable<Frame>): Promise<(number | undefined)[]> {
  const seqs: (number | undefined)[] = []
  for await (const one of frames) seqs.push(endSeq(one))
  return seqs
}

const seqs = (attempt: number, ...ns: number[]): number[] => ns.map((n) => seqOf(attempt, n))

test('updates() ends at the terminal update and sends the key as a subprotocol, never in the address', async () => {
  const server = await serve((socket) => {
    socket.send(`[${frame(seqOf(1, 1))},${frame(seqOf(1, 2))}]`)
    socket.send(terminal())
    socket.close(1000)
  })
  expect(await collect(server.client.updates('job_1'))).toEqual([...seqs(1, 1, 2), terminalSeq(1)])
  expect(server.protocols).toEqual(['dray.v1, bearer.dray_secret'])
  expect(server.cursors).toEqual([0])
})

test('updates() goes on from its cursor after broken connections, without repeats or holes', async () => {
  const told: number[] = []
  const server = await serve((socket, after, connection) => {
    if (connection === 1) {
      for (const seq of seqs(1, 1, 2, 3)) socket.send(frame(seq))
      setTimeout(() => socket.terminate(), 20)
    } else if (connection === 2) socket.close(1013, 'try again')
    else {
      // A server that repeats: the client must not.
      for (const seq of seqs(1, 2, 3, 4)) socket.send(frame(seq))
      socket.send(frame(seqOf(2, 1)))
      socket.send(terminal(2))
      socket.close(1000)
    }
    expect(after).toBe([0, seqOf(1, 3), seqOf(1, 3)][connection - 1])
  })
  const updates = server.client.updates('job_1', { onReconnect: ({ tries }) => told.push(tries) })
  expect(await collect(updates)).toEqual([...seqs(1, 1, 2, 3, 4), seqOf(2, 1), terminalSeq(2)])
  expect(told).toEqual([1, 2])
})

test('updates() asks again for a hole, and says "gap" when it stays', async () => {
  const server = await serve((socket) => {
    socket.send(`[${frame(seqOf(1, 1))},${frame(seqOf(1, 4))}]`)
    socket.send(terminal())
  })
  const got: Frame[] = []
  for await (const one of server.client.updates('job_1')) got.push(one)
  expect(got[1]).toEqual({ type: 'gap', from: seqOf(1, 2), to: seqOf(1, 3) })
  expect(got.map(endSeq)).toEqual([...seqs(1, 1, 3, 4), terminalSeq(1)])
  expect(server.cursors).toEqual([0, seqOf(1, 1), seqOf(1, 1)])
})

test('updates() accepts a gap that the server announces, and a jump to the next attempt', async () => {
  const server = await serve((socket) => {
    socket.send(JSON.stringify({ type: 'gap', from: seqOf(1, 1), to: seqOf(1, 7) }))
    socket.send(frame(seqOf(1, 8)))
    socket.send(frame(seqOf(3, 1)))
    socket.send(terminal(3))
  })
  expect(await collect(server.client.updates('job_1'))).toEqual([...seqs(1, 7, 8), seqOf(3, 1), terminalSeq(3)])
  expect(server.cursors).toHaveLength(1)
})

test('updates() hands out state frames unless they are not wanted', async () => {
  const state = JSON.stringify({
    type: 'job_update',
    job_id: 'job_1',
    status: 'starting',
    phase: 'queued',
    attempt: 0,
    cancel_requested: false,
  })
  const server = await serve((socket) => {
    socket.send(state)
    socket.send(terminal(0))
  })
  expect(await collect(server.client.updates('job_1'))).toEqual([undefined, terminalSeq(0)])
  expect(await collect(server.client.updates('job_1', { states: false }))).toEqual([terminalSeq(0)])
})

test('updates() with a slow reader keeps its memory bounded and loses nothing', async () => {
  const total = 400
  const server = await serve((socket, after) => {
    for (let n = (after % 2 ** 32) + 1; n <= total; n += 1) socket.send(frame(seqOf(1, n), { pad: 'x'.repeat(500) }))
    socket.send(terminal())
  })
  const updates = followUpdates({
    streamUrl: `${server.url.replace('http', 'ws')}/v1/jobs/job_1/stream`,
    WebSocket: globalThis.WebSocket,
    maxQueuedChars: 20_000,
  })
  const got: (number | undefined)[] = []
  for await (const one of updates) {
    got.push(endSeq(one))
    // Time for more messages to arrive than are taken.
    await new Promise((resolve) => setImmediate(resolve))
  }
  expect(got).toEqual([...seqs(1, ...Array.from({ length: total }, (_, at) => at + 1)), terminalSeq(1)])
  expect(server.cursors.length).toBeGreaterThan(1)
})

test('updates() goes on at once, and silently, when the server found it too slow', async () => {
  const told: number[] = []
  const server = await serve((socket, after) => {
    if (after === 0) {
      socket.send(frame(seqOf(1, 1)))
      socket.close(4408, 'too slow')
    } else socket.send(terminal())
  })
  const updates = server.client.updates('job_1', { onReconnect: ({ tries }) => told.push(tries) })
  expect(await collect(updates)).toEqual([seqOf(1, 1), terminalSeq(1)])
  expect(told).toEqual([])
})

test('updates() gives up with an ApiError where trying again cannot help', async () => {
  for (const [code, error] of [
    [1008, 'unauthenticated'],
    [4400, 'bad_request'],
    [4404, 'not_found'],
  ] as const) {
    const server = await serve((socket) => socket.close(code, 'no'))
    await expect(collect(server.client.updates('job_1'))).rejects.toMatchObject({
      name: 'ApiError',
      code: error,
      message: 'no',
    })
    expect(server.cursors).toHaveLength(1)
  }
})

test('updates() ends with the reason of its signal, and `break` closes the connection', async () => {
  const closed: number[] = []
  const server = await serve((socket) => {
    socket.send(frame(seqOf(1, 1)))
    socket.on('close', (code) => closed.push(code))
  })
  const controller = new AbortController()
  const aborted = (async () => {
    for await (const _ of server.client.updates('job_1', { signal: controller.signal }))
      controller.abort(new Error('enough'))
  })()
  await expect(aborted).rejects.toThrow('enough')
  for await (const _ of server.client.updates('job_1')) break
  await expect.poll(() => closed.length).toBe(2)
})

test('updates() opens a new connection when one has been silent for too long', async () => {
  const server = await serve((socket, _, connection) => {
    if (connection === 1) socket.send(frame(seqOf(1, 1)))
    else socket.send(terminal())
  })
  const updates = followUpdates({
    streamUrl: `${server.url.replace('http', 'ws')}/s`,
    WebSocket: globalThis.WebSocket,
    idleMs: 50,
  })
  expect(await collect(updates)).toEqual([seqOf(1, 1), terminalSeq(1)])
})

test('updates() says how much has arrived, for servers that cannot see it', async () => {
  const words: unknown[] = []
  let sentChars = 0
  const server = await serve((socket) => {
    socket.on('message', (data) => void words.push(JSON.parse((data as Buffer).toString())))
    for (const seq of seqs(1, 1, 2, 3, 4, 5)) {
      const text = frame(seq, { content: 'x'.repeat(400_000) })
      sentChars += text.length
      socket.send(text)
    }
    // Only once the client has said so does the rest come.
    socket.once('message', () => {
      socket.send(terminal())
      socket.close(1000)
    })
  })
  expect(await collect(server.client.updates('job_1'))).toHaveLength(6)
  expect(words[0]).toEqual({ received: (sentChars / 5) * 3 })
})
