import { expect, inject, test } from 'vitest'
import { createEngine } from '../../runner-agent/engine/engine-client.ts'
import { ensureImage } from '../../runner-agent/engine/images.ts'
import type { PullProgress } from '../../runner-agent/engine/pull-progress.ts'
import { eventually } from '../support/eventually.ts'
import { startFakeEngine } from '../support/fake-engine.ts'

const engine = createEngine({ socketPath: inject('engineSocket') })
const signal = new AbortController().signal

const inspected = JSON.stringify({
  Id: `sha256:${'1'.repeat(64)}`,
  RepoDigests: [`other/app@sha256:${'2'.repeat(64)}`, `registry.test:5000/team/app@sha256:${'3'.repeat(64)}`],
})

const image = 'registry.test:5000/team/app:v1'

/** An engine without the image, whose registry answers with these lines. */
const pulling = (lines: readonly object[]) => {
  let pulled = false
  return startFakeEngine((request, response) => {
    if (request.method === 'GET' && !pulled) return response.writeHead(404).end('{"message":"No such image: x"}')
    if (request.method === 'GET') return response.end(inspected)
    pulled = true
    return response.end(lines.map((line) => `${JSON.stringify(line)}\r\n`).join(''))
  })
}

test('ensureImage() finds an image that is there, by tag and by id, without pulling', async () => {
  const name = inject('busyboxImage')
  const found = await ensureImage({ engine, image: name, pull: 'missing', signal })
  expect(found).toEqual({
    id: expect.stringMatching(/^sha256:[0-9a-f]{64}$/) as string,
    digest: found.id,
    pulled: false,
  })
  expect(await ensureImage({ engine, image: found.id, pull: 'never', signal })).toEqual(found)
})

test('ensureImage() says what is wrong with a name, and that it may not pull', async () => {
  const never = ensureImage({ engine, image: 'nosuch:1', pull: 'never', signal })
  await expect(never).rejects.toMatchObject({
    code: 'image_not_found',
    message: expect.stringContaining('forbids') as string,
  })
  const invalid = ensureImage({ engine, image: 'NOT::valid', pull: 'missing', signal })
  await expect(invalid).rejects.toMatchObject({ kind: 'image_name', code: 'image_not_found' })
})

test('ensureImage() says that the registry could not be reached', async () => {
  const unreachable = ensureImage({ engine, image: '127.0.0.1:1/app:1', pull: 'missing', signal })
  await expect(unreachable).rejects.toMatchObject({ kind: 'pull_failed', code: 'image_pull_failed' })
})

test('ensureImage() pulls by tag, adds the layers up and gives the digest of that registry', async () => {
  const layer = (id: string, status: string, current?: number, total?: number) => ({
    id,
    status,
    ...(total === undefined ? {} : { progressDetail: { current, total } }),
  })
  await using fake = await pulling([
    { status: 'Pulling from team/app', id: 'v1' },
    layer('a', 'Pulling fs layer'),
    layer('b', 'Pulling fs layer'),
    layer('c', 'Already exists'),
    layer('a', 'Downloading', 10, 100),
    layer('b', 'Downloading', 50, 50),
    layer('a', 'Download complete'),
    layer('a', 'Extracting', 5, 100),
    layer('a', 'Pull complete'),
    layer('b', 'Pull complete'),
    { status: `Digest: sha256:${'3'.repeat(64)}` },
  ])
  const seen: PullProgress[] = []
  const fakeEngine = createEngine({ socketPath: fake.socketPath })
  const got = await ensureImage({
    engine: fakeEngine,
    image,
    pull: 'missing',
    signal,
    onProgress: (at) => seen.push(at),
  })
  expect(got).toEqual({ id: `sha256:${'1'.repeat(64)}`, digest: `sha256:${'3'.repeat(64)}`, pulled: true })
  expect(seen.at(-1)).toEqual({ layersDone: 3, layers: 3, doneBytes: 150, totalBytes: 150 })
  expect(fake.requests[1]).toBe('POST /images/create?fromImage=registry.test%3A5000%2Fteam%2Fapp&tag=v1')
})

test.for([
  ['manifest for registry.test:5000/team/app:v1 not found: manifest unknown', 'image_not_found'],
  ['pull access denied for team/app, repository does not exist or may require docker login', 'image_pull_failed'],
  ['write /var/lib/docker/tmp/x: no space left on device', 'disk_full'],
  ['no matching manifest for linux/arm64 in the manifest list entries', 'image_not_found'],
])('ensureImage() finds the failure "%s" within an answer of status 200', async ([message, code]) => {
  await using fake = await pulling([{ status: 'Pulling from team/app' }, { error: message, errorDetail: { message } }])
  const fakeEngine = createEngine({ socketPath: fake.socketPath })
  await expect(ensureImage({ engine: fakeEngine, image, pull: 'always', signal })).rejects.toMatchObject({ code })
})

test('ensureImage() ends a pull with its signal and closes its connection', async () => {
  const controller = new AbortController()
  let closed = false
  await using fake = await startFakeEngine((request, response) => {
    response.on('close', () => {
      closed = true
    })
    response.write('{"status":"Pulling fs layer","id":"a"}\r\n')
    if (request.method === 'POST') setImmediate(() => controller.abort(new Error('cancelled')))
  })
  const fakeEngine = createEngine({ socketPath: fake.socketPath })
  const pull = ensureImage({ engine: fakeEngine, image, pull: 'always', signal: controller.signal })
  await expect(pull).rejects.toThrow('cancelled')
  await eventually(() => closed, { what: 'the connection of the pull is closed' })
})
