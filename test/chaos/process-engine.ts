// A Docker API on a Unix socket whose containers are plain processes: for volume, where a hundred real containers would
// take minutes. It speaks what runner-agent/engine uses and nothing else, and answers as Docker does where the agent looks.
// A process of its own, so that it can be killed: `node test/chaos/process-engine.ts STATE_DIR`; the socket is STATE_DIR/sock.

import { randomBytes } from 'node:crypto'
import { mkdirSync, readdirSync, rmSync } from 'node:fs'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import { join } from 'node:path'
import { json } from 'node:stream/consumers'
import { setTimeout as sleep } from 'node:timers/promises'
import { NEVER, openContainer, readNote, type Container } from './process-engine-container.ts'
import type { LogStream } from './process-engine-log.ts'

interface Call {
  readonly request: IncomingMessage
  readonly response: ServerResponse
  readonly query: URLSearchParams
  readonly container: Container
}

const IMAGE_ID = `sha256:${'c'.repeat(64)}`
const VERSION = '26.1.5'
const stateDir = process.argv[2]
if (stateDir === undefined) throw new Error('usage: process-engine.ts STATE_DIR')
const folder = join(stateDir, 'containers')
const socketPath = join(stateDir, 'sock')
mkdirSync(folder, { recursive: true })
const containers = new Map<string, Container>()
for (const id of readdirSync(folder)) {
  const note = readNote(join(folder, id))
  if (note) containers.set(id, openContainer(join(folder, id), note))
  else rmSync(join(folder, id), { recursive: true, force: true })
}

/** As Docker: only the latest, only in memory; what an earlier process left or lost is not among them. */
const KEPT_EVENTS = 256
const events: { Action: string; Actor: { ID: string } }[] = []
function remember(Action: string, { note }: Container): void {
  events.push({ Action, Actor: { ID: note.id } })
  if (events.length > KEPT_EVENTS) events.shift()
}

const WHOLE: Readonly<Record<string, () => unknown>> = {
  '/version': () => ({ Version: VERSION, ApiVersion: '1.45', Os: 'linux', Arch: 'amd64', Components: [] }),
  '/info': () => ({
    NCPU: 4,
    MemTotal: 8 * 2 ** 30,
    Architecture: 'x86_64',
    Driver: 'process',
    DockerRootDir: folder,
    Runtimes: {},
    SecurityOptions: [],
    RuncCommit: { ID: '' },
    SystemTime: new Date().toISOString(),
  }),
  '/images/json': () => [{ Id: IMAGE_ID, RepoTags: ['dray-busybox:latest'] }],
}

const CONTAINER_CALLS: Readonly<Record<string, (call: Call) => void | Promise<void>>> = {
  'GET json': ({ response, container }) => send(response, 200, inspection(container)),
  'POST start': ({ response, container }) => {
    if (container.start() === 'already') return send(response, 304)
    remember('start', container)
    void container.exited().then(() => remember('die', container))
    send(response, 204)
  },
  'POST wait': async ({ response, container }) => {
    response.writeHead(200, { 'Content-Type': 'application/json' }).flushHeaders()
    // Docker takes "not running" as true at once, before the start too.
    const code = container.note.state === 'running' ? await container.exited() : container.note.exitCode
    response.end(JSON.stringify({ StatusCode: code }))
  },
  'POST stop': async ({ response, container, query }) => {
    if (container.note.state !== 'running') return send(response, 304)
    const over = new AbortController()
    const exited = container.exited().then(() => over.abort())
    container.signal(container.note.stopSignal)
    await sleep(Number(query.get('t') ?? 10) * 1000, undefined, { signal: over.signal }).catch(() => undefined)
    container.signal('SIGKILL')
    await exited
    send(response, 204)
  },
  'POST kill': ({ response, container, query }) => {
    const name = (query.get('signal') ?? 'SIGKILL') as NodeJS.Signals
    if (container.signal(name)) send(response, 204)
    else fail(response, 409, `Container ${container.note.id} is not running`)
  },
  'GET logs': readLog,
  'DELETE ': async ({ response, container, query }) => {
    if (container.note.state === 'running' && query.get('force') !== 'true')
      return fail(response, 409, 'container is running: stop the container before removing or force remove')
    containers.delete(container.note.id)
    await container.remove()
    send(response, 204)
  },
}

async function answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
  const url = new URL(request.url ?? '/', 'http://docker')
  const path = url.pathname.replace(/^\/v1\.\d+/, '')
  if (path === '/_ping') return void response.end('OK')
  const whole = WHOLE[path]
  if (whole) return send(response, 200, whole())
  if (path === '/events') return void response.end(events.map((event) => `${JSON.stringify(event)}\n`).join(''))
  if (path === '/containers/json') return send(response, 200, list(url.searchParams))
  if (path === '/containers/create') return create(request, response, url.searchParams.get('name') ?? '')
  if (/^\/images\/.+\/json$/.test(path)) return send(response, 200, { Id: IMAGE_ID, RepoDigests: [] })
  const [, id = '', verb = ''] = /^\/containers\/([^/]+)(?:\/(\w+))?$/.exec(path) ?? []
  const container = containers.get(id) ?? [...containers.values()].find(({ note }) => note.name === id)
  if (!container) return fail(response, 404, `No such container: ${id}`)
  const call = CONTAINER_CALLS[`${request.method} ${verb}`]
  if (!call) return fail(response, 501, `The process engine does not know ${request.method} ${path}`)
  await call({ request, response, query: url.searchParams, container })
}

async function create(request: IncomingMessage, response: ServerResponse, name: string): Promise<void> {
  const body = (await json(request)) as {
    Image: string
    Cmd?: string[]
    Env?: string[]
    Labels?: Record<string, string>
    StopSignal?: string
  }
  const holder = [...containers.values()].find(({ note }) => note.name === name)
  if (holder)
    return fail(
      response,
      409,
      `Conflict. The container name "/${name}" is already in use by container "${holder.note.id}".`,
    )
  const id = randomBytes(32).toString('hex')
  containers.set(
    id,
    openContainer(join(folder, id), {
      id,
      name,
      image: body.Image,
      command: body.Cmd ?? ['true'],
      env: body.Env ?? [],
      labels: body.Labels ?? {},
      stopSignal: (body.StopSignal ?? 'SIGTERM') as NodeJS.Signals,
      createdAt: new Date().toISOString(),
      state: 'created',
      exitCode: 0,
      startedAt: NEVER,
      finishedAt: NEVER,
      pid: 0,
      processStart: '',
    }),
  )
  send(response, 201, { Id: id, Warnings: [] })
}

function readLog({ response, container, query }: Call): void {
  const wanted = (['stdout', 'stderr'] as const).filter((stream: LogStream) => query.get(stream) === '1')
  const follows = query.get('follow') === '1' && container.note.state === 'running'
  response.writeHead(200, { Server: `Docker/${VERSION} (linux)`, 'Content-Type': 'application/octet-stream' })
  const { stored, stop } = container.log.read(wanted, follows ? (entry) => void response.write(entry) : null)
  if (!follows) return void response.end(stored)
  response.write(stored)
  response.once('close', stop)
  void container.exited().then(() => response.end())
}

function inspection({ note }: Container): unknown {
  return {
    Id: note.id,
    Name: `/${note.name}`,
    Image: note.image,
    Config: { Labels: note.labels, Env: note.env, StopSignal: note.stopSignal },
    State: {
      Status: note.state,
      Running: note.state === 'running',
      Dead: false,
      OOMKilled: false,
      ExitCode: note.exitCode,
      Error: '',
      StartedAt: note.startedAt,
      FinishedAt: note.finishedAt,
    },
  }
}

function list(query: URLSearchParams): unknown[] {
  const { label = [] } = JSON.parse(query.get('filters') ?? '{}') as { label?: string[] }
  const carries = ({ note }: Container): boolean =>
    label.every((wanted) => {
      const [key = '', value] = wanted.split('=')
      return value === undefined ? key in note.labels : note.labels[key] === value
    })
  return [...containers.values()]
    .filter(carries)
    .map(({ note }) => ({ Id: note.id, Names: [`/${note.name}`], Labels: note.labels, State: note.state }))
}

function send(response: ServerResponse, status: number, body?: unknown): void {
  response.writeHead(status, { 'Content-Type': 'application/json', Server: `Docker/${VERSION} (linux)` })
  response.end(body === undefined ? undefined : JSON.stringify(body))
}

function fail(response: ServerResponse, status: number, message: string): void {
  send(response, status, { message })
}

const server = createServer((request, response) => {
  answer(request, response).catch((error: unknown) => fail(response, 500, String(error)))
})
server.on('upgrade', (request, socket) => {
  const id = /\/containers\/([^/]+)\/attach/.exec(request.url ?? '')?.[1] ?? ''
  const container = containers.get(id)
  if (!container) return void socket.end('HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n')
  socket.write(
    'HTTP/1.1 101 UPGRADED\r\nContent-Type: application/vnd.docker.raw-stream\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n',
  )
  container.attach(socket)
})
rmSync(socketPath, { force: true })
server.listen(socketPath)
