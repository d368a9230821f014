// One command stands up a whole system in containers: control plane, nats-server and agent, on images that are built here.
import { afterAll, beforeAll, expect, it } from 'vitest'
import { callEngine } from '../../deploy/engine-api.ts'
import type { Frame } from '../../shared/update.ts'
import { eventually } from '../support/eventually.ts'
import { startComposeStage, type ComposeStage } from '../support/compose-stage.ts'

const PLANE = 'http://127.0.0.1:8700'
const UP_DEADLINE_MS = 90_000

let stage: ComposeStage
beforeAll(async () => {
  stage = await startComposeStage()
}, 60_000)
afterAll(() => stage.close())

async function engineHas(what: 'containers/json?all=1' | 'volumes' | 'networks?filters={"type":["custom"]}') {
  const { body } = await callEngine(stage.socketPath, `/${encodeURI(what)}`)
  return JSON.parse(body) as unknown
}

it(
  'compose up runs the main job: submitted over HTTP, followed on a WebSocket to its result',
  async () => {
    await stage.compose('up', '--detach', '--build').catch(async (error: unknown) => {
      throw new Error(await stage.compose('logs'), { cause: error })
    })
    const key = (await stage.compose('exec', '-T', 'control-plane', 'cat', '/var/lib/dray/admin.token')).trim()
    const env = { DRAY_URL: PLANE, DRAY_TOKEN: key }
    const submit = ['submit', 'test/fixtures/F1.json', '--image', stage.workflowImage, '--wait', '--json']
    const lines = (await stage.cli(submit, env)).trim().split('\n')
    const frames = lines.map((line) => JSON.parse(line) as Frame)
    expect(frames.at(-1)).toMatchObject({
      status: 'completed',
      result: { result: ['Hello, World'] },
      exit: { code: 0 },
    })
  },
  UP_DEADLINE_MS,
)

it('an agent whose container is started again is the same agent', async () => {
  const key = (await stage.compose('exec', '-T', 'control-plane', 'cat', '/var/lib/dray/admin.token')).trim()
  const env = { DRAY_URL: PLANE, DRAY_TOKEN: key }
  const agents = async () => JSON.parse(await stage.cli(['agents', '--json'], env)) as { items: { state: string }[] }
  await stage.compose('restart', 'agent')
  await eventually(async () => (await agents()).items.every(({ state }) => state === 'ready'), {
    deadlineMs: 20_000,
    everyMs: 500,
    what: 'the agent is ready again',
  })
  expect((await agents()).items).toHaveLength(1)
})

it('compose down and the end of the engine leave no container, volume, network, process, mount or file', async () => {
  await stage.compose('down', '--volumes')
  expect(await engineHas('containers/json?all=1')).toEqual([])
  expect(await engineHas('volumes')).toMatchObject({ Volumes: [] })
  expect(await engineHas('networks?filters={"type":["custom"]}')).toEqual([])
  await stage.close()
  expect(await stage.remains()).toEqual([])
})
