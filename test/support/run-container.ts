// Runs one container to its end and gives back what it printed: for tests of images, not of the agent.
//
// It uses the restrictions that jobs have (no capabilities, read-only root, no network) and this project's own attach and
// demultiplexer are not involved: the output comes from Docker's log.

import { callEngine } from '../../deploy/engine-api.ts'
import http from 'node:http'

export interface ContainerRun {
  stdout: string
  stderr: string
  exitCode: number
}

export async function runContainer(socketPath: string, config: object, stdin?: string): Promise<ContainerRun> {
  const hasStdin = stdin !== undefined
  const body = JSON.stringify({
    ...config,
    User: '65534:65534',
    OpenStdin: hasStdin,
    StdinOnce: hasStdin,
    HostConfig: {
      NetworkMode: 'none',
      ReadonlyRootfs: true,
      CapDrop: ['ALL'],
      SecurityOpt: ['no-new-privileges'],
      Init: true,
      LogConfig: { Type: 'local' },
      Tmpfs: { '/tmp': 'mode=1777', '/workspace': 'mode=1777' },
    },
  })
  const created = await expectStatus(201, callEngine(socketPath, '/containers/create', { method: 'POST', body }))
  const { Id } = JSON.parse(created) as { Id: string }
  try {
    const sent = hasStdin ? await sendStdin(socketPath, Id, stdin) : undefined
    await expectStatus(204, callEngine(socketPath, `/containers/${Id}/start`, { method: 'POST' }))
    const wait = callEngine(socketPath, `/containers/${Id}/wait`, { method: 'POST', deadlineMs: 20_000 })
    const { StatusCode } = JSON.parse(await expectStatus(200, wait)) as { StatusCode: number }
    sent?.destroy()
    const [stdout, stderr] = await Promise.all(['stdout', 'stderr'].map((name) => readLog(socketPath, Id, name)))
    return { stdout: stdout ?? '', stderr: stderr ?? '', exitCode: StatusCode }
  } finally {
    await callEngine(socketPath, `/containers/${Id}?force=1&v=1`, { method: 'DELETE' })
  }
}

async function expectStatus(status: number, call: Promise<{ status: number; body: string }>): Promise<string> {
  const answer = await call
  if (answer.status !== status) throw new Error(`The engine answered ${answer.status}: ${answer.body}`)
  return answer.body
}

/** Stdin that is written and ended before the start is kept for the container. */
function sendStdin(socketPath: string, id: string, stdin: string): Promise<{ destroy(): void }> {
  return new Promise((resolve, reject) => {
    const request = http.request({
      socketPath,
      method: 'POST',
      path: `/containers/${id}/attach?stream=1&stdin=1`,
      headers: { Host: 'docker', Connection: 'Upgrade', Upgrade: 'tcp', 'Content-Length': 0 },
      agent: false,
    })
    request.on('upgrade', (_response, socket) => {
      socket.on('error', () => socket.destroy())
      socket.resume()
      socket.end(stdin)
      resolve(socket)
    })
    request.on('response', (response) => reject(new Error(`attach answered ${response.statusCode}`)))
    request.on('error', reject)
    request.end()
  })
}

async function readLog(socketPath: string, id: string, stream: string): Promise<string> {
  const { promise, resolve, reject } = Promise.withResolvers<Buffer>()
  const path = `/containers/${id}/logs?${stream}=1`
  const request = http.get({ socketPath, path, headers: { Host: 'docker' }, agent: false }, (response) => {
    const parts: Buffer[] = []
    response.on('data', (part: Buffer) => parts.push(part))
    response.on('end', () => resolve(Buffer.concat(parts)))
    response.on('error', reject)
  })
  request.on('error', reject)
  return withoutFrames(await promise).toString('utf8')
}

/** Each frame has 8 bytes in front: the stream's number and, in the last four, the length. */
function withoutFrames(data: Buffer): Buffer {
  const parts: Buffer[] = []
  for (let at = 0; at + 8 <= data.length; at += 8 + data.readUInt32BE(at + 4)) {
    parts.push(data.subarray(at + 8, at + 8 + data.readUInt32BE(at + 4)))
  }
  return Buffer.concat(parts)
}
